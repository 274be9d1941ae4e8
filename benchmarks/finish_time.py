"""How much later a run ends that loses its machine several times: finish time ÷ the undisturbed run's.

Run it with ``python -m benchmarks.finish_time --kills 1 2 4``. A run that is hit k times trains for k times ten
minutes, and is hit without a notice at a random step of each ten; another one trains for as long and is left alone.
The emulated AWS takes the machine back and has no other one, so that the run goes on on the emulated RunPod, where it
is hit again. The trainer is the stand-in of ``benchmarks.two_clouds``, which waits most of its time, so that several
runs are lived at once. It needs what a rehearsal with real boxes does.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.rehearsed import need_boxes
from benchmarks.results import table
from benchmarks.two_clouds import STEP_S, Blow, Found, Training, counting, line, play

SAVED_EVERY_S = 30
"""Training between two checkpoints."""
MOST_TIMES_AS_LONG = 1.15
"""What a run may take at one hit in ten minutes, the boots of its further machines not counted."""
Pair = tuple[Found, Found]
"""What came of a run that was left alone, and of the one that was hit."""


def main(argv: Sequence[str] | None = None) -> int:
    """Hit runs and print how long they took; return 1 if an adapter differs, a promise broke or one took too long."""
    arguments = make_parser().parse_args(argv)
    need_boxes()
    trainings = [training_for(count, arguments.minutes_each) for count in arguments.kills]
    with (
        tempfile.TemporaryDirectory(prefix="douse-finish-") as scratch,
        ProcessPoolExecutor(arguments.at_once, get_context("spawn")) as pool,
    ):
        begun = [
            (
                pool.submit(play, training, Blow(), Path(scratch) / f"{number}-alone"),
                pool.submit(play, training, several(training, count, arguments.seed), Path(scratch) / f"{number}-hit"),
            )
            for number, (training, count) in enumerate(zip(trainings, arguments.kills, strict=True))
        ]
        pairs = [(alone.result(), hit.result()) for alone, hit in begun]
    for alone, hit in pairs:
        print(line(hit, alone), file=sys.stderr)
    print(show(pairs, trainings))
    return int(any(wrong(pair) or times_as_long(pair) > MOST_TIMES_AS_LONG for pair in pairs))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finish_time", description=main.__doc__)
    parser.add_argument("--kills", type=int, nargs="+", default=[1, 2, 4], help="how often runs are hit (1 2 4)")
    parser.add_argument("--minutes-each", type=float, default=10, help="minutes of training to each hit (10)")
    parser.add_argument("--seed", type=int, default=1, help="what the steps are drawn with (1)")
    parser.add_argument("--at-once", type=int, default=6, help="runs that are lived at the same time (6)")
    return parser


def training_for(count: int, minutes_each: float) -> Training:
    """Return a training of so many minutes to each hit."""
    return counting(round(count * minutes_each * 60 / STEP_S), round(SAVED_EVERY_S / STEP_S))


def several(training: Training, count: int, seed: int) -> Blow:
    """Return a blow that hits so often, at a random step of each of as many equal parts of the training.

    Nothing is hit in the last twelfth of a part, so that there is training between two hits and after the last.
    """
    part, draw = training.steps // count, random.Random(seed)
    return Blow(seed, tuple(number * part + draw.randint(1, part * 11 // 12) for number in range(count)))


def times_as_long(pair: Pair) -> float:
    """Return the finish time of a run that was hit ÷ that of the undisturbed one, without what further boots took."""
    alone, hit = pair
    return (hit.took_s - hit.booted_s) / alone.took_s


def wrong(pair: Pair) -> list[str]:
    """Return what did not hold of two runs."""
    alone, hit = pair
    differs = [] if hit.sha256 == alone.sha256 else ["another adapter"]
    return [*differs, *alone.broken, *hit.broken]


def show(pairs: Sequence[Pair], trainings: Sequence[Training]) -> str:
    """Return a table with a line for each pair, and what did not hold."""
    head = ["kills", "training, s", "undisturbed, s", "hit, s", "of these further boots", "÷", "steps lost"]
    rows = [
        [
            len(hit.blow.steps),
            round(training.steps * STEP_S),
            round(alone.took_s),
            round(hit.took_s),
            round(hit.booted_s),
            f"{times_as_long((alone, hit)):.2f}",
            ", ".join(map(str, hit.lost)),
        ]
        for (alone, hit), training in zip(pairs, trainings, strict=True)
    ]
    broken = [f"BROKEN: {len(pair[1].blow.steps)} hits: {word}" for pair in pairs for word in wrong(pair)]
    return "\n\n".join([table(head, rows), *broken])


if __name__ == "__main__":
    raise SystemExit(main())
