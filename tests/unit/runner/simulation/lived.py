"""Lives for tests: on a cloud, with a script of their own, in a folder that goes with the test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runner.cli.simulate import command
from runner.simulation.life import Life
from runner.simulation.living import live
from runner.simulation.rates import HARSH, Rates
from runner.simulation.script import Act, Script

FAIR = replace(
    HARSH,
    requests=(),
    play_fails=0.0,
    trainer_dies=0.0,
    boot_s=(20.0, 240.0),
    boot_skew=1.0,
    steps=(4, 10, 20),
    step_s=(5.0, 5.0, 15.0, 15.0, 40.0, 40.0, 150.0),
    neighbour=1.0,
)
"""Rates of a life in which nothing goes wrong that is not in its script, at a pace of its own: scripts name moments."""
SEEDS = {"lambda": 58, "runpod": 6, "aws": 9}
"""Lives that begin to train within five minutes, and train for a quarter of an hour at least, where nothing happens."""
DOWN = Act("type", 60.0, words=("down",))


def lived(folder: Path, *acts: Act, seed: int | None = None, cloud: str = "lambda", rates: Rates = FAIR) -> Life:
    """Return a life with these acts and no others."""
    script: Script = acts
    return live(SEEDS[cloud] if seed is None else seed, cloud, folder / "life", command, rates=rates, script=script)


def statuses(life: Life) -> list[tuple[str, int]]:
    """Return each command with its exit status."""
    return [(one.words[0], one.status) for one in life.ended]
