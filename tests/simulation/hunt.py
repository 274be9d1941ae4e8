"""Live lives until one breaks a rule, in the checkout that this is started in: ``python -m tests.simulation.hunt``.

A life that was recorded is lived first. What was found is a JSON object, on the last line.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from runner.cli.simulate import command
from runner.rehearsal.services import simulated_clouds
from runner.simulation.life import Life
from runner.simulation.living import drawn, live, story_of
from runner.simulation.many import room
from runner.simulation.rates import HARSH, Rates
from runner.simulation.rules import Broken, judge
from runner.simulation.script import Act, Script

LIFE_S = 300.0
"""Real seconds in which a life has to be over; else this ends with a traceback."""
FAIR = replace(HARSH, requests=(), play_fails=0.0, trainer_dies=0.0)
"""Rates of a life in which nothing goes wrong that is not in its script."""


@dataclass(frozen=True)
class Record:
    """A life that has found a fault, as it can be lived again whatever else its seed draws by then.

    Attributes:
        cloud: Its cloud.
        seed: The seed that drew it.
        rule: The rule that it breaks.
        is_fair: Whether it does so without the weather of its network, too.
        acts: Its acts, each with its kind, time, number and words.
    """

    cloud: str
    seed: int
    rule: str
    is_fair: bool
    acts: Sequence[Sequence[Any]]

    @property
    def script(self) -> Script:
        """Its acts."""
        return tuple(Act(kind, at_s, number, tuple(words)) for kind, at_s, number, words in self.acts)

    @property
    def rates(self) -> Rates:
        """How often what goes wrong in it besides its acts."""
        return FAIR if self.is_fair else HARSH

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Record:
        """Return a record from a mapping that has more than its attributes."""
        return cls(**{name: said[name] for name in cls.__dataclass_fields__})


def main() -> int:
    """Live the recorded life, then the same seeds on every cloud in turn; return 1 where a rule broke, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, required=True, help="how many, each on every cloud")
    parser.add_argument("--like", default=".", help="regular expression for a life: its cloud, its acts, its story")
    parser.add_argument("--most", type=int, default=0, help="so many lives at most (no limit)")
    parser.add_argument("--recorded", help="a life to live first, a record as JSON")
    arguments = parser.parse_args()
    with room() as folder:
        recorded = None if arguments.recorded is None else Record.of(json.loads(arguments.recorded))
        if recorded is not None and (broken := judge(_again(recorded, folder))):
            _say(1, broken[0], replace(recorded, rule=broken[0].rule), is_recorded=True)
            return 1
        return _hunt(arguments.seeds, arguments.like, arguments.most, folder)


def _hunt(seeds: int, wanted: str, most: int, folder: Path) -> int:
    lives = 0
    for seed in range(seeds):
        for cloud in like(seed, wanted):
            if lives == most > 0:
                break
            lives += 1
            faulthandler.dump_traceback_later(LIFE_S, exit=True)
            life = live(seed, cloud, folder, command)
            if broken := judge(life):
                _say(lives, broken[0], record_of(life, broken[0], folder))
                return 1
    faulthandler.cancel_dump_traceback_later()
    _say(lives, Broken("", ""), Record("", seeds, "", is_fair=False, acts=()))
    return 0


def like(seed: int, wanted: str) -> list[str]:
    """Return the clouds on which a seed's life is one that is wanted, by its cloud, its acts and its story."""
    told = f"; story {name}" if (name := story_of(seed)) else ""
    lives = {cloud: f"{cloud} {'; '.join(map(str, drawn(seed, cloud)))}{told}" for cloud in simulated_clouds()}
    return [cloud for cloud, text in lives.items() if re.search(wanted, text)]


def record_of(life: Life, broken: Broken, folder: Path) -> Record:
    """Return what is recorded of a life that broke a rule: without weather, where it breaks that rule without, too."""
    acts = [(act.kind, act.at_s, act.number, act.words) for act in life.script]
    record = Record(life.cloud, life.seed, broken.rule, is_fair=True, acts=acts)
    is_fair = broken.rule in {one.rule for one in judge(_again(record, folder))}
    return replace(record, is_fair=is_fair)


def _again(record: Record, folder: Path) -> Life:
    faulthandler.dump_traceback_later(LIFE_S, exit=True)
    return live(record.seed, record.cloud, folder, command, rates=record.rates, script=record.script)


def _say(lives: int, broken: Broken, record: Record, *, is_recorded: bool = False) -> None:
    """Print what was found after so many lives."""
    print(json.dumps(asdict(record) | {"lives": lives, "why": broken.why, "is_recorded": is_recorded}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
