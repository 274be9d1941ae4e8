"""What stories are told with: the words of commands, and acts that many of them have."""

from __future__ import annotations

import random

from runner.simulation.more_acts import SETTING
from runner.simulation.script import HOUR_S, Act, Script

ELSEWHERE = "type elsewhere"
"""Kind of the act that is a command from a shell with a cache folder of its own: no guard there knows of another."""
AFAR = ("--runs-dir", "afar")
"""Words of a command that is given on another computer: it knows of no run."""
SEVERAL = "all"
"""Second word of a fault that strikes again and again; a number is how often. A number after it is for how many
seconds, another word from which stage of a life on."""
WHEN_UP, WHEN_ENDED = "machine", "ended"
"""Third word of a fault: it waits until there is a machine, or until the end of one was asked for."""
LOSSES = ("box_killed", "box_stopped_outside", "box_deleted_in_console", "spot_notice")
"""Faults by which a run loses its machine."""
NOTICES = "notices.urls=['https://hooks.simulated/${DOUSE_HOOK}']"
"""The setting by which people hear of a run."""
DOWN, RESUME, WATCH, SWEEP = ("down",), ("resume", "--yes"), ("watch",), ("sweep", "--apply")
SOON_S = (1.0, 30.0, 300.0)


def setting(words: str) -> Act:
    """Return a setting of the run file."""
    return Act(SETTING, words=(words,))


def typed(chance: random.Random, *words: str, kind: str = "type") -> Act:
    """Return a command, some time after the one before."""
    return Act(kind, chance.choice((5.0, 300.0, HOUR_S)), words=words)


def soon(chance: random.Random, *words: str, kind: str = "type") -> Act:
    """Return a command, soon after the one before."""
    return Act(kind, chance.choice(SOON_S), words=words)


def late(chance: random.Random, *choice: tuple[str, ...]) -> Act:
    """Return one of some commands, half a day or more after the one before."""
    return Act("type", chance.uniform(12.0, 36.0) * HOUR_S, words=chance.choice(choice))


def wrong(chance: random.Random, name: str, *words: str, after: float = 0.0) -> Act:
    """Return a fault of the cloud's, which lasts for a while where it is one that lasts."""
    return Act("fault", after, chance.uniform(20.0, 200.0), (name, *words))


def maybe(chance: random.Random, *acts: Act, often: float = 0.5) -> Script:
    """Return some acts, or none."""
    return acts if chance.random() < often else ()


def maybe_words(chance: random.Random, *words: str) -> tuple[str, ...]:
    """Return words, or none."""
    return words if chance.random() < 0.5 else ()
