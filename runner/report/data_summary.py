"""The data check's summary, as the trainer's events and the plan hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner.report.sources import Json, items, text, whole

_ENVELOPE = {"time", "event", "length_histogram", "warnings", "notes"}


def data_summary(reported: Json) -> DataSummary | None:
    """Return the summary in a ``data_summary`` event or in ``plan.json``, ``None`` where there is none."""
    facts = {key: value for key, value in reported.items() if key not in _ENVELOPE}
    bins = tuple(bin_ for row in items(reported.get("length_histogram")) if (bin_ := _bin(row)) is not None)
    warnings, notes = (_sentences(reported.get(key)) for key in ("warnings", "notes"))
    return DataSummary(facts, bins, (*warnings, *notes)) if facts or bins else None


def _sentences(lines: object) -> tuple[str, ...]:
    return tuple(sentence for line in lines if (sentence := text(line))) if isinstance(lines, list) else ()


def _bin(row: Json) -> HistogramBin | None:
    first, end, count = whole(row.get("from")), whole(row.get("to")), whole(row.get("count"))
    return None if first is None or end is None or count is None else HistogramBin(first, end, count)


@dataclass(frozen=True)
class HistogramBin:
    """Samples of at least ``from_tokens`` and fewer than ``to_tokens`` tokens."""

    from_tokens: int
    to_tokens: int
    count: int


@dataclass(frozen=True)
class DataSummary:
    """The data check in numbers."""

    facts: dict[str, Any]
    histogram: tuple[HistogramBin, ...]
    warnings: tuple[str, ...]
