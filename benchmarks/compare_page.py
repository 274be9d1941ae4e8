"""``docs/compare.md``, and the short table of the README: one data set and three base models on every platform.

``python -m benchmarks.compare_page --write`` writes both. The data are the Kwanzaa samples of ``examples/kwanzaa.yml``
with its GPU settings, counted with SmolLM2's tokenizer; the base models are given by their configurations, so that
nothing has to be fetched.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.results import PROJECT
from runner.planning.compare import Line, compare
from runner.planning.estimate.forecast import Task, make_task
from runner.planning.estimate.model_shape import shape_of
from runner.report.comparison import show, span_words
from runner.run.run_file import RunFile

PAGE, README = PROJECT / "docs" / "compare.md", PROJECT / "README.md"
BEGIN, END = "<!-- made by `python -m benchmarks.compare_page --write` from here -->", "<!-- up to here -->"
TODAY = date(2026, 11, 21)
"""The day that prices are looked at on; a later one would only call more of them stale."""
BUDGET_USD = 50.0
ORDERED_BY = "Llama 3.1 8B"
SETTINGS: Mapping[str, Any] = {
    "data": {"train_path": "kwanzaa/train.jsonl", "eval_path": "kwanzaa/eval.jsonl", "max_length": 4096},
    "training": {"num_train_epochs": 2, "gradient_accumulation_steps": 16, "gradient_checkpointing": True},
    "evaluation": {"eval_strategy": "epoch", "generation_samples": 8, "max_new_tokens": 1024},
    "compute": {"env": "lambda", "trust": "any"},
}
DATA = {
    "train_tokens": 156488,
    "train_samples": 107,
    "eval_tokens": 34278,
    "eval_samples": 27,
    "longest_tokens": 2802,
}
"""``make data-check CONFIG=examples/kwanzaa.yml`` with ``max_length: 4096``, 2026-11-21."""
DATA_BYTES = 707118
MODELS: Mapping[str, Mapping[str, Any]] = {
    "Qwen2.5 7B": {
        "model_type": "qwen2",
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
    },
    "Llama 3.1 8B": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
    "Llama 3.2 1B": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "tie_word_embeddings": True,
    },
}


def task_of(name: str) -> Task:
    """Return the run on one of the base models."""
    run_file = RunFile.model_validate(dict(SETTINGS))
    return make_task(run_file, shape_of(MODELS[name]), DATA, model_bytes=0, staged_bytes=0, data_bytes=DATA_BYTES)


def tables() -> str:
    """Return the table of each base model."""
    parts = []
    for name in MODELS:
        lines = compare(task_of(name), TODAY)
        parts.append(f"### {name}\n\n```text\n{show(lines, BUDGET_USD)}\n```")
    return "\n\n".join(parts)


def short_table() -> str:
    """Return one table of all base models, in the order of the second one's cost."""
    found = {name: {line.platform.name: line for line in compare(task_of(name), TODAY)} for name in MODELS}
    order = [line for line in found[ORDERED_BY].values() if not line.why_out]
    head = f"| where | {' | '.join(MODELS)} | trust |\n|---|{'---|' * len(MODELS)}---|"
    rows = [_short_row(line, [found[name][line.platform.name] for name in MODELS]) for line in order]
    return "\n".join([head, *rows])


def _short_row(first: Line, lines: Sequence[Line]) -> str:
    name = first.platform.title + ("" if first.platform.can_run else " *")
    return f"| {name} | {' | '.join(map(_short_cell, lines))} | {first.platform.trust} |"


def _short_cell(line: Line) -> str:
    if line.best is None or line.best.cost is None or line.best.durations is None:
        return line.why_out
    usd = line.best.cost.total_usd
    return f"${usd.low:.2f}..{usd.high:.2f}, {span_words(line.best.durations.total_s)}, {line.best.offer.gpu_name}"


def renewed(page: str, made: Callable[[], str]) -> str:
    """Return a page with what is made now between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{made()}\n\n{END}{rest.partition(END)[2]}"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables, or write them into the pages."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare_page", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help="write the tables into docs/compare.md and README.md")
    if not parser.parse_args(argv).write:
        print(f"{short_table()}\n\n{tables()}")
        return
    for path, made in PAGES.items():
        path.write_text(renewed(path.read_text(encoding="utf-8"), made), encoding="utf-8")


PAGES: Mapping[Path, Callable[[], str]] = {PAGE: tables, README: short_table}


if __name__ == "__main__":
    main()
