"""The memory model beside what our trainer takes: ``python -m benchmarks.memory_measured [--device cuda] [--show]``.

Each point is two optimizer steps in a process of its own. On a CPU the figure is the peak of the process's resident
memory while it trains, with the C library told to give back what is freed: else it keeps most of it, and the peak says
more about ``malloc`` than about the trainer. On a GPU it is what PyTorch's allocator reserved, and CUDA's own part.

What is measured goes into ``benchmarks/memory_measured.json``, and ``docs/memory-model.md`` shows it beside what the
model says now; ``--show`` renews the page alone. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.memory_child import PointFacts
from benchmarks.memory_model import PAGE
from benchmarks.results import PROJECT, table
from benchmarks.trainer_speed import QUICKSTART, make_recipe, prepare
from runner.planning.estimate.fit import trainer_holding
from runner.planning.estimate.memory import Holding, memory_of
from runner.planning.estimate.model_shape import read_shape, shape_of
from runner.run.run_file import RunFile

FIGURES = PROJECT / "benchmarks" / "memory_measured.json"
BEGIN, END = "<!-- made by `python -m benchmarks.memory_measured` from here -->", "<!-- up to here (measured) -->"
TIMEOUT_S = 1800
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""glibc: memory from 64 KiB on is a mapping of its own, and gone once it is freed (``man 3 mallopt``)."""
SMOLLM2 = {
    "model_type": "llama",
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
WIDE = SMOLLM2 | {
    "vocab_size": 128256,
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
}
"""Of random weights: what a large vocabulary costs, without shared keys."""
MODELS: Mapping[str, Mapping[str, Any]] = {"SmolLM2 135M": SMOLLM2, "random, wide": WIDE}


@dataclass(frozen=True)
class Case:
    """What is trained.

    Attributes:
        model: Name in ``MODELS``.
        max_length: Longest row, in tokens.
        rows: Rows in a micro-batch.
        checkpointing: Whether activations are computed again.
        packing: Whether rows are packed.
        attention: ``attn_implementation``.
    """

    model: str
    max_length: int
    rows: int
    checkpointing: bool
    packing: bool = True
    attention: str = "auto"

    def recipe(self, location: str) -> dict[str, Any]:
        """Return the quickstart's recipe with these settings."""
        recipe = make_recipe(location, QUICKSTART, steps=1)
        recipe["model"] |= {"attn_implementation": self.attention}
        recipe["data"] |= {"max_length": self.max_length, "packing": self.packing}
        recipe["training"] |= {
            "per_device_train_batch_size": self.rows,
            "gradient_accumulation_steps": 1,
            "gradient_checkpointing": self.checkpointing,
        }
        return recipe


CASES = (
    Case("SmolLM2 135M", 256, 1, True),
    Case("SmolLM2 135M", 512, 1, True),
    Case("SmolLM2 135M", 1024, 1, True),
    Case("SmolLM2 135M", 512, 4, True),
    Case("SmolLM2 135M", 512, 1, False),
    Case("SmolLM2 135M", 512, 2, False),
    Case("SmolLM2 135M", 1024, 1, False, attention="eager"),
    Case("SmolLM2 135M", 512, 8, False, packing=False),
    Case("random, wide", 512, 1, True),
    Case("random, wide", 512, 4, True),
)


@dataclass(frozen=True)
class Point:
    """One point: a case and what was measured of it."""

    case: Case
    facts: PointFacts

    @property
    def predicted_gib(self) -> float:
        """What the model says of the trainer's part, in GiB."""
        holding = cpu_holding(self.case, self.facts) if self.facts.device == "cpu" else gpu_holding(self.case)
        found = memory_of(
            shape_of(MODELS[self.case.model]), holding, tokens=self.facts.tokens, rank=16, targets="all-linear"
        )
        return found.total_gib

    @property
    def error(self) -> float:
        """Share by which the prediction of the whole is over the measurement."""
        return (self.facts.process_gib + self.predicted_gib) / self.facts.peak_gib - 1

    @property
    def own_error(self) -> float:
        """The same of the trainer's part: what is there on top of the process."""
        return self.predicted_gib / (self.facts.peak_gib - self.facts.process_gib) - 1


def cpu_holding(case: Case, facts: PointFacts) -> Holding:
    """Return how our trainer holds things on a CPU.

    All is in 32 bits but the 4-bit base. Logits are there for supervised positions: the softmax's logarithm, and the
    gradients of both. Dropout keeps its noise as numbers and the adapter what it makes of them
    (``at::native::_dropout_impl``; the kernel that keeps a byte is CUDA's).
    """
    return Holding(
        unquantised=4,
        optimizer=8,
        activation=4,
        logits=12 * facts.supervised_share,
        saved_input=8,
        attention="eager" if case.attention == "eager" else "sdpa",
        has_mask=case.packing or case.rows > 1,
        row_tokens=facts.row_tokens,
        checkpointing=case.checkpointing,
    )


def gpu_holding(case: Case) -> Holding:
    """Return how our trainer holds things on a GPU; CUDA's own part is in what was measured of the process."""
    recipe = case.recipe("/model")
    sections = {name: recipe[name] for name in ("model", "data", "training")}
    holding = trainer_holding(RunFile.model_validate(sections), rows=case.rows)
    return Holding(**{**asdict(holding), "context_gib": 0.0})


def measure(cases: Sequence[Case], device: str) -> list[Point]:
    """Measure each case in a process of its own."""
    found = []
    with tempfile.TemporaryDirectory(prefix="douse-memory-") as name:
        places = {"SmolLM2 135M": prepare(None), "random, wide": str(Path(name) / "wide")}
        for index, case in enumerate(cases):
            facts = _measure_one(case, places, Path(name) / str(index), device)
            found.append(Point(case, facts))
            print(f"{case} {facts} {found[-1].error:+.1%} {found[-1].own_error:+.1%}", file=sys.stderr, flush=True)
    return found


def _measure_one(case: Case, places: Mapping[str, str], folder: Path, device: str) -> PointFacts:
    location = places[case.model]
    recipe = case.recipe(location)
    recipe["run"] |= {"device": device}
    job = {"recipe": recipe, "config": MODELS[case.model], "tokenizer": places["SmolLM2 135M"]}
    facts = run_child(job, folder)
    _check_shape(case, Path(location))
    return facts


def run_child(job: Mapping[str, Any], folder: Path) -> PointFacts:
    """Measure one job in a process of its own.

    Args:
        job: ``recipe``; ``config`` and ``tokenizer`` of a random model, which is made where the recipe's is missing.
        folder: Where it may write; made here.

    Raises:
        SystemExit: If it fails.
    """
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    argv = [sys.executable, "-m", "benchmarks.memory_child", str(folder)]
    done = subprocess.run(
        argv, cwd=PROJECT, env=os.environ | GIVE_BACK, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"error: {folder} could not be measured:\n{done.stderr[-3000:]}")
    return PointFacts(**json.loads((folder / "facts.json").read_bytes()))


def _check_shape(case: Case, location: Path) -> None:
    found, expected = read_shape(location), shape_of(MODELS[case.model])
    if found != expected:
        raise SystemExit(f"error: {location} is not {case.model}: {found}")


def save(points: Sequence[Point]) -> None:
    """Write what was measured into ``FIGURES``: one machine's figures, in place of the same device's older ones."""
    devices = {point.facts.device for point in points}
    older = [point for point in load() if point.facts.device not in devices] if FIGURES.is_file() else []
    rows = [{"case": asdict(point.case), "facts": asdict(point.facts)} for point in (*older, *points)]
    FIGURES.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def load() -> list[Point]:
    """Return what was measured."""
    rows = json.loads(FIGURES.read_text(encoding="utf-8"))
    return [Point(Case(**row["case"]), PointFacts(**row["facts"])) for row in rows]


def show(points: Sequence[Point]) -> str:
    """Return the points as a table, and the errors' median and largest."""
    rows = [
        [
            point.case.model,
            point.facts.device.upper().replace("CUDA", "GPU"),
            _settings(point.case),
            f"{point.facts.tokens:,}",
            f"{point.facts.process_gib:.2f}",
            f"{point.facts.peak_gib:.2f}",
            f"{point.facts.process_gib + point.predicted_gib:.2f}",
            f"{point.error:+.0%}",
            f"{point.own_error:+.0%}",
        ]
        for point in points
    ]
    head = [
        "model",
        "on",
        "rows, attention",
        "tokens",
        "process",
        "measured",
        "predicted",
        "error",
        "error without process",
    ]
    parts = []
    for name, errors in (
        ("error", [abs(point.error) for point in points]),
        ("without the process", [abs(point.own_error) for point in points]),
    ):
        parts.append(f"{name}: median {median(errors):.1%}, largest {max(errors):.1%}")
    return f"{table(head, rows)}\n\n{len(points)} points, GiB; {'; '.join(parts)}"


def _settings(case: Case) -> str:
    packed = "packed" if case.packing else "filled up"
    again = "checkpointed" if case.checkpointing else "kept"
    attention = "" if case.attention == "auto" else f", {case.attention}"
    return f"{case.rows} x {case.max_length} {packed}, {again}{attention}"


def renewed(page: str) -> str:
    """Return the page with the table of now between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{show(load())}\n\n{END}{rest.partition(END)[2]}"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all points, keep them, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_measured", description=main.__doc__)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to train (auto)")
    parser.add_argument("--show", action="store_true", help="measure nothing: renew the page")
    arguments = parser.parse_args(argv)
    if not arguments.show:
        save(measure(CASES, arguments.device))
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(show(load()))


if __name__ == "__main__":
    main()
