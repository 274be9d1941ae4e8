"""Packing against padding in our trainer: same samples, same model, same machine, taking turns.

Run it with ``python -m benchmarks.packing [--model FOLDER_OR_GGUF] [--data FOLDER] [--json FILE]``.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.results import PROJECT, Job, Measurement, measure_in_turns, table, to_mapping
from benchmarks.trainer_speed import add_model, prepare
from trainer.files import write_json

BATCHINGS: dict[str, dict[str, Any]] = {
    "packed": {"packing": True, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2},
    "padded": {"packing": False, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1},
}
"""Two rows of 1,024 positions, or eight samples padded to the longest: about the same tokens in a step."""
MAX_LENGTH = 1024
SAMPLES = 40
MEDIAN_WORDS, SPREAD = 110, 0.75
"""Lengths are lognormal, as they are in chat data: most are short, a few are many times longer."""
WORDS = (
    *("the", "book", "of", "the", "town", "says", "who", "built", "it", "when", "and", "why", "and", "on"),
    *("which", "page", "the", "answer", "can", "be", "found"),
)
CUT = (
    "import sys; from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; "
    "M.from_pretrained(sys.argv[1], num_hidden_layers=int(sys.argv[3])).save_pretrained(sys.argv[2]); "
    "T.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both, taking turns, and print the table."""
    arguments = make_parser().parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="douse-benchmark-") as scratch:
        location = cut_model(prepare(arguments.model), Path(scratch) / "model", arguments.layers)
        data = arguments.data or write_samples(Path(scratch) / "data")
        recipes = {name: make_recipe(location, data, **options) for name, options in BATCHINGS.items()}
        packed, padded = measure_in_turns(
            [Job("ours", recipe, f"{scratch}/{name}") for name, recipe in recipes.items()]
        )
    report = summarise(packed, padded)
    print(show(report))
    if arguments.json:
        write_json(arguments.json, report)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packing", description=main.__doc__)
    add_model(parser)
    parser.add_argument("--data", type=Path, help=f"folder with train.jsonl ({SAMPLES} samples of many lengths)")
    parser.add_argument("--layers", type=int, default=6, help="layers of the base model to keep, to save time (6)")
    parser.add_argument("--json", type=Path, help="file to write the measurements to")
    return parser


def cut_model(location: str, target: Path, layers: int) -> str:
    """Write the base model with its first layers only, in a process of its own."""
    argv = [sys.executable, "-c", CUT, location, str(target), str(layers)]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True)  # noqa: PLW1510
    if done.returncode != 0:
        raise SystemExit(f"error: {location} cannot be cut to {layers} layers:\n{done.stderr[-2000:]}")
    return str(target)


def write_samples(folder: Path, samples: int = SAMPLES, seed: int = 42) -> Path:
    """Write made-up chat samples whose lengths differ as widely as those of real chats."""
    source = random.Random(seed)
    folder.mkdir(parents=True)
    for name, count in (("train", samples), ("eval", 2)):
        lines = []
        for index in range(count):
            length = max(8, min(600, round(source.lognormvariate(0, SPREAD) * MEDIAN_WORDS)))
            words = [source.choice(WORDS) for _ in range(length)]
            half = length // 2
            turns = (("user", f"{name} {index}: {' '.join(words[:half])}?"), ("assistant", " ".join(words[half:])))
            lines.append(json.dumps({"messages": [{"role": role, "content": text} for role, text in turns]}))
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def make_recipe(
    location: str, data: Path, *, packing: bool, per_device_train_batch_size: int, gradient_accumulation_steps: int
) -> dict[str, Any]:
    """Return the recipe of one pass over the data."""
    return {
        "run": {"name": "benchmark", "seed": 42},
        "model": {"base_model": location},
        "data": {
            "train_path": str(data / "train.jsonl"),
            "eval_path": str(data / "eval.jsonl"),
            "max_length": MAX_LENGTH,
            "packing": packing,
        },
        "training": {
            "num_train_epochs": 1,
            "per_device_train_batch_size": per_device_train_batch_size,
            "gradient_accumulation_steps": gradient_accumulation_steps,
            "learning_rate": 1e-3,
            "gradient_checkpointing": False,
        },
        "evaluation": {"eval_strategy": "no"},
        "monitoring": {"tensorboard": False},
    }


def summarise(packed: Measurement, padded: Measurement) -> dict[str, Any]:
    """Return both measurements and their ratio."""
    return {
        "packed": to_mapping(packed),
        "padded": to_mapping(padded),
        "total_ratio": packed.tokens_per_s / padded.tokens_per_s,
        "median_ratio": _median_tokens_per_s(packed) / _median_tokens_per_s(padded),
    }


def _median_tokens_per_s(found: Measurement) -> float:
    return median(tokens / seconds for tokens, seconds in zip(found.step_tokens, found.step_seconds, strict=True))


def show(report: dict[str, Any]) -> str:
    """Return the report as text."""
    rows = [
        [
            name,
            f"{report[name]['tokens_per_s']:.1f}",
            f"{report[name]['positions_per_token']:.2f}",
            f"{report[name]['peak_memory_gib']:.2f}",
            report[name]["tokens"],
        ]
        for name in BATCHINGS
    ]
    head = ["batches", "tokens/s", "positions per token", "peak GiB", "tokens measured"]
    return (
        f"{table(head, rows)}\n\n"
        f"speed   packed is {report['total_ratio']:.2f}x padded, {report['median_ratio']:.2f}x by the median step"
    )


if __name__ == "__main__":
    main()
