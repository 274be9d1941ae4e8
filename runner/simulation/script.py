"""What is to happen in a life besides the network's weather: drawn before it begins, so that it can be shrunk."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from runner.run.journal import JOURNAL_NAME
from runner.run.planned import PLAN_NAME
from runner.run.state import STATE_NAME
from runner.safety.lease_word import LEASE_NAME
from runner.simulation.rates import Rates

RUN_S = 650.0
"""Four of five runs are over by then, from the command to the receipt: what happens to a runner happens within it."""
CALLS = 1150
"""Nine of ten runs have fewer calls of their world, the median run 770: a crash is at one of them."""
HOUR_S = 3600.0
KEPT = 2
"""So many acts stay in a life with few, besides the last command."""
DAMAGED = (STATE_NAME, "host.json", "config.json", PLAN_NAME, LEASE_NAME, JOURNAL_NAME)
ENDING = (("down",), ("sweep", "--apply"))
GOING_ON = (("resume", "--yes"), ("watch",), ("status",))


@dataclass(frozen=True)
class Act:
    """One thing that happens.

    Attributes:
        kind: What.
        at_s: When, in seconds from the beginning; of a command, how long after the one before has ended.
        number: How long, how often, or at which call, by its kind; of a command, at which of its calls it is killed.
        words: The command, or the name of what it concerns.
    """

    kind: str
    at_s: float = 0.0
    number: float = 0.0
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it as a line of a history."""
        words = f" {' '.join(self.words)}" if self.words else ""
        return f"{self.kind}{words} at {self.at_s:.0f} s ({self.number:g})"


Script = tuple[Act, ...]


def draw(chance: random.Random, rates: Rates, faults: Sequence[str]) -> Script:
    """Return the script of one life.

    Args:
        chance: Where it comes from.
        rates: How often what happens.
        faults: The faults that the emulated cloud can bring about by itself.
    """
    drawn = chance.sample(faults, chance.choice(rates.cloud_faults))
    acts = [_fault(chance, name) for name in drawn if name not in rates.seldom or chance.random() < rates.seldom[name]]
    if chance.random() < rates.crash:
        acts.append(Act("crash", number=float(chance.randint(1, CALLS))))
    for kind, rate, numbers in (
        ("kill", rates.kill, (0.0,)),
        ("lid", rates.lid, (30.0, 600.0, 4 * HOUR_S, 12 * HOUR_S)),
        ("cut", rates.cut, (20.0, 300.0, 3000.0)),
        ("interrupt", rates.interrupt, (0.0,)),
        ("hang up", rates.hang_up, (0.0,)),
        ("stop", rates.stopped, (60.0, HOUR_S, 10 * HOUR_S)),
        ("kill terraform", rates.terraform_dies, (0.0,)),
    ):
        if chance.random() < rate:
            acts += _with_its_like(chance, rates, Act(kind, chance.uniform(0.0, RUN_S), chance.choice(numbers)))
    return (*acts, *_commands(chance, rates))


def narrowed(chance: random.Random, rates: Rates, script: Script) -> Script:
    """Return a script with two of its acts besides the last command, or as it is.

    Args:
        chance: Where that comes from.
        rates: How often.
        script: What was drawn.
    """
    last = len(script) - 1
    if last <= KEPT or chance.random() >= rates.narrow:
        return script
    kept = {*chance.sample(range(last), KEPT), last}
    return tuple(act for number, act in enumerate(script) if number in kept)


def _with_its_like(chance: random.Random, rates: Rates, act: Act) -> list[Act]:
    """Return an act with what goes along with it: a kill may take the guard too, and Ctrl-C is pressed twice."""
    if act.kind == "kill" and chance.random() < rates.kill_guard:
        return [act, Act("kill guard", act.at_s)]
    if act.kind == "interrupt" and chance.random() < rates.twice:
        return [act, Act("interrupt", act.at_s + chance.uniform(0.5, 90.0))]
    return [act]


def _fault(chance: random.Random, name: str) -> Act:
    after = float(chance.choice((0, 0, 1, 3, 10)))
    return Act("fault", after, chance.uniform(5.0, 200.0), (name,))


def _commands(chance: random.Random, rates: Rates) -> list[Act]:
    """Return what the user types later, if ever."""
    if chance.random() < rates.stay_away:
        return []
    acts: list[Act] = []
    if chance.random() < rates.folder_damaged:
        how = chance.choice(("empty", "cut", "lost"))
        acts.append(Act("damage", words=(chance.choice(DAMAGED), how), number=chance.random()))
    later = range(chance.choice((0, 1, 1, 2)))
    acts += [Act("type", _pause(chance), words=chance.choice((*ENDING, *GOING_ON))) for _ in later]
    if chance.random() < rates.other_key:
        kind = chance.choice(("type with another key", "type without a key"))
        acts.append(Act(kind, _pause(chance), words=chance.choice((*ENDING, *GOING_ON))))
    acts.append(Act("type", _pause(chance), words=("down",)))
    return acts


def _pause(chance: random.Random) -> float:
    return chance.choice((1.0, 30.0, 600.0, 2 * HOUR_S, 9 * HOUR_S))
