"""The table of ``make compare``: a run on every platform, side by side, the reasons under it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.planning.compare import Line, runs_in
from runner.planning.estimate.ranges import Range
from runner.report.columns import WIDTH, wrapped
from runner.run.planned import Elsewhere

HEAD = ("where", "GPU", "fits", "time", "$/run", "$/h", "runs", "trust", "spot")
WIDTHS = (16, 19, 5, 13, 15, 6, 5, 9, 4)
LONGEST_IN_MINUTES_S = 5400


def elsewhere_words(found: Elsewhere) -> str:
    """Return in a sentence what a run would cost in another environment."""
    usd, place = found.usd, f"ENV={found.environment} on {found.gpu}"
    time, whose = span_words(Range(**found.seconds)), ", community" if found.trust == "community" else ""
    old = "" if found.stale_days is None else f", prices of {day_words(found.prices_as_of, found.stale_days)}"
    dollars = f"${usd['expected']:.2f} (${usd['low']:.2f} to ${usd['high']:.2f})"
    return f"{dollars}, {time}, with {place}{whose}{old}: `make compare`"


def day_words(as_of: object, stale_days: int | None) -> str:
    """Return the day of a price for people, marked where it is stale: ``2026-01-21 (stale, 304 days)``."""
    return f"{as_of}" if stale_days is None else f"{as_of} (stale, {stale_days} days)"


def prices_of(line: Line) -> str:
    """Return the day of a platform's price, in words; empty where it has none."""
    if line.watts is not None:
        return f"electricity alone, {line.watts:g} W"
    return "" if line.prices_as_of is None else day_words(line.prices_as_of, line.stale_days)


def to_mapping(line: Line, budget_usd: float | None) -> dict[str, Any]:
    """Return a platform as plain data, as ``make compare JSON=1`` prints it."""
    return {
        "platform": line.platform.name,
        "title": line.platform.title,
        "trust": line.platform.trust,
        "persistence": line.platform.persistence,
        "douse_runs_there": line.platform.can_run,
        "why_out": line.why_out or None,
        "prices_of": prices_of(line) or None,
        "runs_in_budget": runs_in(line.best, budget_usd),
        "best": None if line.best is None else line.best.to_mapping(),
    }


def show(lines: Sequence[Line], budget_usd: float | None = None) -> str:
    """Return the table for people, at most ``WIDTH`` columns wide, the reasons under it."""
    rows = [_cells(line, budget_usd) for line in lines if not line.why_out]
    table = [_row(HEAD), "-" * WIDTH, *(_row(cells) for cells in rows)]
    out = [_noted(f"out: {line.platform.title}: {line.why_out}") for line in lines if line.why_out]
    kept = [_noted(f"survives on {line.platform.name}: {line.platform.persistence}") for line in lines]
    old = [f"{line.platform.name} {prices_of(line)}" for line in lines if line.stale_days is not None]
    stale = [_noted(f"old prices (`make prices`): {'; '.join(old)}")] if old else []
    return "\n".join([*table, "", *out, "", *kept, "", *stale]).rstrip()


def _noted(text: str) -> str:
    """Return a line under the table, wrapped to its width."""
    return "\n".join(wrapped(text, rest="    "))


def _cells(line: Line, budget_usd: float | None) -> tuple[str, ...]:
    best, runs = line.best, runs_in(line.best, budget_usd)
    if best is None or best.cost is None or best.durations is None:
        return (line.platform.name, *[""] * (len(HEAD) - 1))
    usd = best.cost.total_usd
    return (
        line.platform.name + ("" if line.platform.can_run else " *"),
        best.offer.gpu_name,
        f"{best.rows}x",
        span_words(best.durations.total_s),
        f"{usd.low:.2f}..{usd.high:.2f}",
        f"{best.offer.price_usd_per_h:.2f}",
        "" if runs is None else str(runs),
        line.platform.trust,
        "yes" if best.offer.spot else "no",
    )


def span_words(seconds: Range) -> str:
    """Return a span of time: in minutes where the longest is under an hour and a half, else in hours."""
    if seconds.high < LONGEST_IN_MINUTES_S:
        return f"{seconds.low / 60:.0f}..{seconds.high / 60:.0f} min"
    return f"{seconds.low / 3600:.1f}..{seconds.high / 3600:.1f} h"


def _row(cells: Sequence[str]) -> str:
    return " ".join(cell[:width].ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()
