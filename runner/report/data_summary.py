"""The data check's summary, as the trainer's events and the plan hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner.report.sources import Json, items, text, whole

_ENVELOPE = {"time", "event", "length_histogram", "warnings", "notes", "shown"}


def data_summary(reported: Json) -> DataSummary | None:
    """Return the summary in a ``data_summary`` event or in ``plan.json``, ``None`` where there is none."""
    facts = {key: value for key, value in reported.items() if key not in _ENVELOPE}
    bins = tuple(bin_ for row in items(reported.get("length_histogram")) if (bin_ := _bin(row)) is not None)
    warnings, notes = (_sentences(reported.get(key)) for key in ("warnings", "notes"))
    shown = tuple(_shown(row) for row in items(reported.get("shown")))
    return DataSummary(facts, bins, warnings, notes, shown) if facts or bins else None


def _shown(row: Json) -> ShownSample:
    parts = tuple(Part(text(part.get("text")) or "", part.get("learned") is True) for part in items(row.get("parts")))
    return ShownSample(whole(row.get("line")), parts)


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
class Part:
    """Words of a sample that stand together, and whether they are learned."""

    text: str
    learned: bool


@dataclass(frozen=True)
class ShownSample:
    """A sample with what is learned of it, and its line in the file."""

    line: int | None
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class DataSummary:
    """The data check in numbers and sentences, and a few samples; older runs have no notes and no samples."""

    facts: dict[str, Any]
    histogram: tuple[HistogramBin, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    shown: tuple[ShownSample, ...] = ()
