"""After a run: what was estimated beside what it took, in a few lines."""

from __future__ import annotations

from runner.estimate.cost import Compared, compare_with_actual
from runner.estimate.finished_run import read_row
from runner.run_dir import RunDir

LEAST_S = 1.0
"""A phase that took less, and was to take less, is not worth a word."""


def settled(run: RunDir) -> list[str]:
    """Return the estimate of a finished run beside what it took and cost; nothing where there was none."""
    row = read_row(run)
    if row is None or not row.estimated_seconds:
        return []
    *phases, total = compare_with_actual(row)
    words = [_phase(phase) for phase in phases if max(phase.estimated_s or 0.0, phase.actual_s or 0.0) >= LEAST_S]
    money = ""
    if total.estimated_usd is not None and total.actual_usd is not None:
        money = f", {total.estimated_usd:.2f} $ and {total.actual_usd:.2f} $"
    return [
        f"estimated    {time_words(total.estimated_s)}, it took {time_words(total.actual_s)}{money}",
        f"             {', '.join(words)}",
    ]


def _phase(one: Compared) -> str:
    return f"{one.phase} {time_words(one.estimated_s)} → {time_words(one.actual_s)}"


def time_words(seconds: float | None) -> str:
    """Return a duration for people."""
    if seconds is None:
        return "?"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
