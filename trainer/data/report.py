"""The data check for people: a plain table, a length histogram, and the warnings. At most 100 columns wide."""

from __future__ import annotations

import json
import sys
import textwrap

from trainer.base_model.tokenization import load_base_model_facts
from trainer.config.recipe import Recipe
from trainer.data.progress import Bar
from trainer.data.samples import EncodedDataset, encode, load_dataset
from trainer.data.shown import shown_text
from trainer.data.steps import FEWEST_STEPS, steps_of_run
from trainer.data.summary import DataSummary, HistogramBin, SplitSummary

WIDTH = 100
BAR_WIDTH = 60


def run_data_check(recipe: Recipe, *, as_json: bool) -> int:
    """Check the recipe's data against its base model and print the summary.

    Args:
        recipe: What would be trained.
        as_json: Print one JSON object instead of the table.

    Returns:
        The exit status 0: data that cannot be used raises.

    Raises:
        TrainerError: If data, template or base model cannot be used.
    """
    bar = Bar(sys.stderr)
    dataset = load_dataset(recipe.data, recipe.run.seed, bar)
    facts = load_base_model_facts(recipe.model, recipe.data)
    encoded = encode(dataset, facts, recipe.data, bar)
    if as_json:
        print(json.dumps(encoded.summary.to_mapping(), ensure_ascii=False, indent=2))
    else:
        print(data_text(recipe, encoded, colour=sys.stdout.isatty()))
    return 0


def data_text(recipe: Recipe, encoded: EncodedDataset, *, colour: bool) -> str:
    """Return all that is said of the data: the summary, the steps of a run, and what is learned of the first samples.

    Args:
        recipe: What a run of it would do.
        encoded: The samples.
        colour: Whether the text goes to a terminal.
    """
    steps = steps_of_run(recipe, encoded)
    lines = [textwrap.fill(f"The run has {steps.in_words()}.", WIDTH)]
    if steps.are_few:
        lines.append(_wrapped(f"warning: under {FEWEST_STEPS} optimizer steps little is learned: {steps.remedy}"))
    return "\n\n".join(
        [summary_text(encoded.summary), "\n".join(lines), shown_text(encoded.summary.shown, colour=colour)]
    )


def summary_text(summary: DataSummary) -> str:
    """Return table, histogram and warnings as text, no line longer than ``WIDTH``."""
    parts = [_table(summary), *_sources(summary), _histogram(summary.length_histogram, summary.max_length)]
    remarks = [*("warning: " + words for words in summary.warnings), *("note: " + words for words in summary.notes)]
    if remarks:
        parts.append("\n".join(_wrapped(words) for words in remarks))
    return "\n\n".join(parts)


def _table(summary: DataSummary) -> str:
    train, held_out = summary.train, summary.eval
    rows = [
        _row("samples", train.samples, held_out.samples),
        _row("tokens in one epoch", train.tokens, held_out.tokens),
        _row("supervised tokens", train.supervised_tokens, held_out.supervised_tokens),
        f"{'supervised share':<30}{_percent(train):>14}{_percent(held_out):>14}",
        _row("shortest sample, tokens", train.shortest, held_out.shortest),
        _row("median sample, tokens", train.median, held_out.median),
        _row("95 % are at most, tokens", train.p95, held_out.p95),
        _row("longest sample, tokens", train.longest, held_out.longest),
        _row(f"samples cut at {summary.max_length:,}", train.cut_samples, held_out.cut_samples),
    ]
    left = summary.left_out
    if left.bad or left.eval_bad:
        rows.append(_row("left out: cannot be used", left.bad, left.eval_bad))
    if left.long or left.eval_long:
        rows.append(_row(f"left out: above {summary.max_length:,} tokens", left.long, left.eval_long))
    title = f"{f'Data check ({summary.format})':<30}{'train':>14}{'eval':>14}"
    return "\n".join([title, "-" * len(title), *rows])


def _sources(summary: DataSummary) -> list[str]:
    """Return how each file is used, where there are several."""
    if not summary.sources:
        return []
    title = f"{'Training samples by source':<58}{'in it':>12}{'weight':>10}{'used':>12}"
    rows = [
        f"{_fitted(source.path, 58):<58}{source.samples:>12,}{source.weight:>10g}{source.used:>12,}"
        for source in summary.sources
    ]
    return ["\n".join([title, *rows])]


def _fitted(path: str, width: int) -> str:
    return path if len(path) < width else f"…{path[2 - width :]}"


def _row(name: str, train: int, held_out: int) -> str:
    return f"{name:<30}{train:>14,}{held_out:>14,}"


def _percent(split: SplitSummary) -> str:
    return f"{100 * split.supervised_share:.1f} %"


def _histogram(bins: tuple[HistogramBin, ...], max_length: int) -> str:
    tallest = max(part.count for part in bins)
    lines = ["Length of the training samples, in tokens"]
    for part in bins:
        bar = "#" * (-(-part.count * BAR_WIDTH // tallest))  # rounded up: one sample is seen too
        cut = "" if part.to_tokens <= max_length + 1 else " cut" if part.from_tokens > max_length else " partly cut"
        lines.append(f"{part.from_tokens:>8,} to {part.to_tokens - 1:<8,}{part.count:>7,}  {bar}{cut}")
    return "\n".join(lines)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="         ", break_long_words=True)
