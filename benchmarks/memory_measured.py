"""The memory model beside what our trainer takes on this machine's CPU: ``python -m benchmarks.memory_measured``.

Each point is two training steps in a process of its own, on the quickstart's model and data. Measured is the peak of
the resident memory of the process. What Python and its libraries take before the model is loaded is measured as well,
and counts as the part of the process in the prediction.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.results import PROJECT, Job, measure_in_turns, table
from benchmarks.trainer_speed import QUICKSTART, make_recipe, prepare
from runner.estimate.memory import Holding, memory_of
from runner.estimate.model_shape import read_shape

POINTS = (
    (256, 1, True),
    (512, 1, True),
    (1024, 1, True),
    (512, 4, True),
    (512, 1, False),
    (512, 4, False),
    (1024, 2, False),
)
"""Longest row, rows, and whether activations are computed again."""
SUPERVISED_SHARE = 0.2
"""Of the quickstart's tokens; only their logits are computed on a CPU."""
IMPORTS = """
import bitsandbytes, datasets, peft, torch
from transformers import LlamaForCausalLM
from trl import SFTTrainer
from trainer.environment import memory_peak_gib
print(memory_peak_gib(torch.device("cpu")))
"""


@dataclass(frozen=True)
class Found:
    """One point: GiB measured and predicted."""

    max_length: int
    rows: int
    checkpointing: bool
    measured_gib: float
    predicted_gib: float

    @property
    def error(self) -> float:
        """Share by which the prediction is over the measurement."""
        return self.predicted_gib / self.measured_gib - 1


def cpu_holding(context_gib: float, *, checkpointing: bool) -> Holding:
    """Return how our trainer holds things on a CPU: all in 32 bits but the 4-bit base, logits of supervised tokens."""
    return Holding(
        unquantised=4,
        optimizer=8,
        activation=4,
        logits=12 * SUPERVISED_SHARE,
        saved_input=5,
        checkpointing=checkpointing,
        context_gib=context_gib,
    )


def measure_points(points: Sequence[tuple[int, int, bool]]) -> list[Found]:
    """Measure and predict each point."""
    model, context_gib = prepare(None), _context_gib()
    shape, found = read_shape(Path(model)), []
    for length, rows, checkpointing in points:
        with tempfile.TemporaryDirectory(prefix="douse-memory-") as name:
            recipe = make_recipe(model, QUICKSTART, steps=1)
            recipe["data"] |= {"max_length": length}
            recipe["training"] |= {
                "per_device_train_batch_size": rows,
                "gradient_accumulation_steps": 1,
                "gradient_checkpointing": checkpointing,
            }
            (measured,) = measure_in_turns([Job("ours", recipe, str(Path(name) / "job"))])
        holding = cpu_holding(context_gib, checkpointing=checkpointing)
        predicted = memory_of(shape, holding, tokens=length * rows, rank=16, targets="all-linear")
        found.append(Found(length, rows, checkpointing, measured.peak_memory_gib, predicted.total_gib))
        print(f"{found[-1]} {json.dumps(predicted.parts_gib)}", file=sys.stderr, flush=True)
    return found


def _context_gib() -> float:
    """Return the peak memory of a process that has imported what the trainer imports."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=PROJECT, capture_output=True, text=True, timeout=300, check=True
    )
    return float(done.stdout.split()[-1])


def show(found: Sequence[Found]) -> str:
    """Return the points as a table, and the errors' median and largest."""
    rows = [
        [
            f"{one.rows} x {one.max_length}",
            "yes" if one.checkpointing else "no",
            f"{one.measured_gib:.2f}",
            f"{one.predicted_gib:.2f}",
            f"{one.error:+.0%}",
        ]
        for one in found
    ]
    errors = [abs(one.error) for one in found]
    head = ["rows x tokens", "checkpointing", "measured GiB", "predicted GiB", "error"]
    return f"{table(head, rows)}\n\nerror: median {median(errors):.0%}, largest {max(errors):.0%}"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all points and print the table."""
    argparse.ArgumentParser(prog="python -m benchmarks.memory_measured", description=main.__doc__).parse_args(argv)
    print(show(measure_points(POINTS)))


if __name__ == "__main__":
    main()
