"""Our trainer against a plain SFTTrainer script: same recipe, same tokens, same machine, taking turns.

Run it with ``python -m benchmarks.trainer_speed [--model FOLDER_OR_GGUF] [--steps 8] [--json FILE]``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import PROJECT, Job, Measurement, measure_in_turns, ratios, table, to_mapping
from runner.adapters.packages import packaged_model
from runner.world import RealWorld
from trainer.files import cache_folder, write_json

SIDES = ("ours", "plain")
NAMES = {"ours": "Douse", "plain": "plain SFTTrainer"}
QUICKSTART = PROJECT / "examples" / "quickstart"
PREPARE = (
    "import sys; from trainer.base_model.load import prepare_base_model; "
    "from trainer.config.sections import ModelSection; print(prepare_base_model(ModelSection(base_model=sys.argv[1])))"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both, taking turns, and print the table."""
    arguments = make_parser().parse_args(argv)
    location = prepare(arguments.model)
    recipe = make_recipe(location, arguments.data, steps=arguments.steps)
    with tempfile.TemporaryDirectory(prefix="douse-benchmark-") as scratch:
        jobs = [Job(side, recipe, f"{scratch}/{side}") for side in SIDES]
        ours, plain = measure_in_turns(jobs)
    report = summarise(ours, plain)
    print(show(report))
    if arguments.json:
        write_json(arguments.json, report | {"recipe": recipe})


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trainer_speed", description=main.__doc__)
    add_model(parser)
    parser.add_argument("--data", type=Path, default=QUICKSTART, help="folder with train.jsonl and eval.jsonl")
    parser.add_argument("--steps", type=int, default=8, help="optimizer steps measured, after one that is not (8)")
    parser.add_argument("--json", type=Path, help="file to write the measurements to")
    return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the base model."""
    parser.add_argument("--model", type=Path, help="folder or .gguf file (the quickstart's, fetched as by make train)")


def prepare(model: Path | None) -> str:
    """Return the folder of the base model; a GGUF file is converted in a process of its own."""
    source = packaged_model(cache_folder(), RealWorld()) if model is None else model.resolve()
    if source.suffix != ".gguf":
        return str(source)
    argv = [sys.executable, "-c", PREPARE, str(source)]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True)  # noqa: PLW1510
    if done.returncode != 0:
        raise SystemExit(f"error: {source} cannot be converted:\n{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1]


def make_recipe(location: str, data: Path, *, steps: int) -> dict[str, Any]:
    """Return the quickstart's recipe, shortened."""
    return {
        "run": {"name": "benchmark", "seed": 42},
        "model": {"base_model": location},
        "data": {
            "train_path": str(data / "train.jsonl"),
            "eval_path": str(data / "eval.jsonl"),
            "max_length": 512,
            "packing": True,
        },
        "training": {
            "max_steps": steps + 1,
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 2,
            "learning_rate": 1e-3,
            "warmup_ratio": 0.0,  # theirs begins at zero and ours does not: the two would learn differently
            "gradient_checkpointing": False,
        },
        "evaluation": {"eval_strategy": "no"},
        "monitoring": {"tensorboard": False},
    }


def summarise(ours: Measurement, plain: Measurement) -> dict[str, Any]:
    """Return both measurements, and the ratios between steps made one after the other.

    Raises:
        SystemExit: If the two did not learn from the same tokens.
    """
    if ours.step_tokens != plain.step_tokens:
        raise SystemExit(f"error: {ours.tokens} tokens here, {plain.tokens} there: the two are not comparable")
    return {
        "ours": to_mapping(ours),
        "plain": to_mapping(plain),
        "best_ratio": ours.best_tokens_per_s / plain.best_tokens_per_s,
        "total_ratio": ours.tokens_per_s / plain.tokens_per_s,
        "step_ratios": ratios(plain.step_seconds, ours.step_seconds),
        "memory_ratio": ours.peak_memory_gib / plain.peak_memory_gib,
    }


def show(report: dict[str, Any]) -> str:
    """Return the report as text."""
    rows = []
    for side in SIDES:
        found = report[side]
        speeds = [f"{found['best_tokens_per_s']:.0f}", f"{found['tokens_per_s']:.0f}"]
        cpu = f"{found['cpu_seconds'] / found['tokens'] * 1000:.1f}"
        rows.append([NAMES[side], *speeds, cpu, f"{found['peak_memory_gib']:.2f}", f"{found['loss']:.4f}"])
    steps, count = report["step_ratios"], len(report["ours"]["step_seconds"])
    head = [f"{count} steps", "tokens/s, fastest step", "all steps", "CPU s per 1,000 tokens", "peak GiB", "final loss"]
    return (
        f"{table(head, rows)}\n\n"
        f"speed   {report['best_ratio']:.2f}x the plain script's by the fastest step, "
        f"{report['total_ratio']:.2f}x by all steps\n"
        f"        step by step {steps['lowest']:.2f} to {steps['highest']:.2f}, median {steps['median']:.2f}\n"
        f"memory  {report['memory_ratio']:.2f}x the plain script's"
    )


if __name__ == "__main__":
    main()
