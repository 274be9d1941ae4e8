"""Live lives until one breaks a rule, in the checkout that this is started in: ``python -m tests.simulation.hunt``.

What it found is a JSON object, on the last line.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import re
import sys

from runner.cli.simulate import command
from runner.rehearsal.services import simulated_clouds
from runner.simulation.living import drawn, live
from runner.simulation.many import room
from runner.simulation.rules import Broken, judge

LIFE_S = 300.0
"""Real seconds in which a life has to be over; else this ends with a traceback."""


def main() -> int:
    """Live the same seeds on every cloud in turn; return 1 where a rule broke, 0 where all held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, required=True, help="how many, each on every cloud")
    parser.add_argument("--like", default=".", help="regular expression for the cloud and the acts of a life")
    parser.add_argument("--most", type=int, default=0, help="so many lives at most (no limit)")
    arguments = parser.parse_args()
    lives = 0
    with room() as folder:
        for seed in range(arguments.seeds):
            for cloud in like(seed, arguments.like):
                if lives == arguments.most > 0:
                    break
                lives += 1
                faulthandler.dump_traceback_later(LIFE_S, exit=True)
                broken = judge(live(seed, cloud, folder, command))
                if broken:
                    say(lives, broken[0], cloud, seed)
                    return 1
    faulthandler.cancel_dump_traceback_later()
    say(lives, Broken("", ""), "", arguments.seeds)
    return 0


def like(seed: int, wanted: str) -> list[str]:
    """Return the clouds on which a seed's life is one that is wanted, by its cloud and its acts."""
    lives = {cloud: f"{cloud} {'; '.join(map(str, drawn(seed, cloud)))}" for cloud in simulated_clouds()}
    return [cloud for cloud, text in lives.items() if re.search(wanted, text)]


def say(lives: int, broken: Broken, cloud: str, seed: int) -> None:
    """Print what was found after so many lives."""
    found = {"lives": lives, "rule": broken.rule, "why": broken.why, "cloud": cloud, "seed": seed}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    sys.exit(main())
