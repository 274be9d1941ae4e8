"""Runs side by side, and one run in a few lines, for the terminal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from runner.report import wording
from runner.report.run.bills import bill_words
from runner.report.run.gpu import gpu_words
from runner.report.run.models import RunReport
from runner.report.run.summary import verdict_sentence

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

COLUMNS = ("run", "env", "status", "base model", "steps", "eval loss", "change", "tokens/s", "time", "cost")
DISPENSABLE = ("base model", "env", "tokens/s", "change", "steps", "cost")
"""Columns that a narrow terminal goes without, in this order."""
NO_LIMIT = 1000
NUMBERS = frozenset(COLUMNS[4:])
BARS = "▁▂▃▄▅▆▇█"
SPARKS = 32
TONES = {"accepted": "green", "interrupted": "yellow", "failed": "red", "unfinished": "default"}


def compare_runs(reports: Iterable[RunReport]) -> list[tuple[str, ...]]:
    """Return one row of words for each run, in the order of ``COLUMNS``."""
    return [_row(report) for report in reports]


def print_runs(reports: Sequence[RunReport], console: Console | None = None) -> None:
    """Print the runs as a table. A narrow terminal gets fewer columns; a pipe or file gets all, uncut."""
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in compare_runs(reports)]
    print_table(rows, COLUMNS, DISPENSABLE, NUMBERS, console)


def print_table(
    rows: Sequence[Mapping[str, str]],
    columns: Sequence[str],
    dispensable: Sequence[str],
    numbers: Collection[str],
    console: Console | None = None,
) -> None:
    """Print rows of words. A narrow terminal gets fewer columns; a pipe or file gets all, uncut.

    Args:
        rows: The words of each row by column.
        columns: The columns from left to right.
        dispensable: Those that a narrow terminal goes without, in this order.
        numbers: Those that are set to the right.
        console: Where to.
    """
    from rich.console import Console

    console = console or Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, file=console.file, width=NO_LIMIT)
    shown, unlimited = list(columns), console.options.update(width=NO_LIMIT)
    for name in dispensable:
        if console.measure(_table(rows, shown, numbers), options=unlimited).maximum <= console.width:
            break
        shown.remove(name)
    console.print(_table(rows, shown, numbers))


def _table(rows: Sequence[Mapping[str, str]], columns: Sequence[str], numbers: Collection[str]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(row[name], style=TONES.get(row[name], "")) for name in columns))
    return table


def show(report: RunReport, console: Console | None = None) -> None:
    """Print one run: its verdict, its curve, its key numbers and where its results are."""
    from rich.console import Console
    from rich.text import Text

    console = console or Console(highlight=False)
    head = Text(report.verdict, style=f"bold {TONES[report.verdict]}")
    console.print(head.append(f"  {report.run_id}", style="bold"), soft_wrap=True)
    for line in lines(report):
        console.print(Text(line), soft_wrap=True)


def lines(report: RunReport, *, with_paths: bool = True) -> list[str]:
    """Return the lines that ``show`` prints below the first, without paths if asked."""
    summary = report.summary
    found = [verdict_sentence(report)]
    if report.verdict != "accepted":
        found += [f"  {part}" for part in (report.message, report.resolution) if part]
    rows = [("eval loss", _losses(report))]
    curve = sparkline([point.loss for point in report.steps if point.loss is not None])
    if curve:
        rows.append(("loss", f"{wording.decimal(summary.loss_first)} {curve} {wording.decimal(summary.loss_last)}"))
    speed = f"{wording.compact(summary.tokens_per_s)} tokens/s"
    skipped = f" ({report.skipped_steps} skipped: their gradient was not finite)" if report.skipped_steps else ""
    steps = f"{wording.count(summary.steps)} steps{skipped}"
    rows.append(("trained", f"{steps}, {wording.count(summary.tokens)} tokens, {speed}"))
    spent = (
        wording.duration(summary.duration_s),
        wording.gib(summary.peak_memory_gib),
        wording.dollars(summary.cost_usd),
    )
    rows.append(("used", ", ".join(spent)))
    if (useful := gpu_words(report)) is not None:
        rows.append(("useful", useful))
    if report.memory_measures:
        rows.append(("memory", f"was short: {'; '.join(report.memory_measures)}"))
    rows += [("machine", wording.machine_words(line)) for line in report.receipt.get("machines", ())]
    if (wasted := wording.wasted_words(report.receipt.get("machines", ()))) is not None:
        rows.append(("wasted", wasted))
    rows += [("billed", words) for words in bill_words(report.receipt)]
    rows += _settled(report)
    page = report.run_dir / "report.html"
    paths = (("adapter", report.artifacts.adapter), ("checksums", report.artifacts.checksums),
             ("merged", report.artifacts.merged), ("report", page if page.exists() else None))  # fmt: skip
    rows += [(name, str(path)) for name, path in paths if path is not None and with_paths]
    return found + [f"  {name:<10} {value}" for name, value in rows]


def _settled(report: RunReport) -> list[tuple[str, str]]:
    """Return the estimate beside what it took, in all and by phase."""
    if report.estimate is None:
        return []
    whole, pairs = report.estimate.total, report.estimate.notable
    reported = [
        ", ".join((wording.duration(seconds), wording.dollars(usd)))
        for seconds, usd in ((whole.estimated_s, whole.estimated_usd), (whole.actual_s, whole.actual_usd))
    ]
    off = "" if whole.error is None else f" ({wording.off(whole.error)})"
    steps = [f"{one.phase} {wording.duration(one.estimated_s)} → {wording.duration(one.actual_s)}" for one in pairs]
    return [("estimated", f"{reported[0]} → {reported[1]}{off}"), ("by phase", ", ".join(steps))]


def sparkline(values: Sequence[float], width: int = SPARKS) -> str:
    """Return values as a line of small bars, at most ``width``; each bar is the mean of its share of the values."""
    if len(values) < 2:
        return ""
    count = min(width, len(values))
    cuts = [round(index * len(values) / count) for index in range(count + 1)]
    means = [sum(values[low:high]) / (high - low) for low, high in pairwise(cuts)]
    low, high = min(means), max(means)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((mean - low) * scale)] for mean in means)


def _row(report: RunReport) -> tuple[str, ...]:
    summary = report.summary
    base, adapter = wording.decimal(summary.base_eval_loss), wording.decimal(summary.adapter_eval_loss)
    change = summary.improvement_percent
    return (
        report.run_id,
        report.env,
        report.verdict,
        (report.base_model or wording.UNKNOWN).rstrip("/").rsplit("/", 1)[-1],
        wording.count(summary.steps),
        f"{base} → {adapter}",
        wording.UNKNOWN if change is None else f"{-change:+.1f} %",
        wording.compact(summary.tokens_per_s),
        wording.duration(summary.duration_s),
        wording.dollars(summary.cost_usd),
    )


def _losses(report: RunReport) -> str:
    summary = report.summary
    known = f"{wording.decimal(summary.base_eval_loss)} → {wording.decimal(summary.adapter_eval_loss)}"
    if summary.improvement_percent is None:
        return known
    return f"{known}, {wording.improvement(summary.improvement_percent)} ({summary.compared_on})"
