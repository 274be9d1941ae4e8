"""The data check's summary, whatever spelling its histogram comes in."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from runner.report.models import DataSummary, HistogramBin
from runner.report.sources import Json, items, mapping, number

HISTOGRAM_KEYS = ("length_histogram", "histogram")
_ENVELOPE = {"time", "event"}


def data_summary(event: Json) -> DataSummary | None:
    """Return the summary of a ``data_summary`` event, ``None`` for an empty one."""
    facts = {key: value for key, value in event.items() if key not in _ENVELOPE}
    if set(facts) == {"summary"}:
        facts = mapping(facts["summary"])
    bins: tuple[HistogramBin, ...] = ()
    for key in HISTOGRAM_KEYS:
        if key in facts:
            bins = histogram_bins(facts.pop(key))
    return DataSummary(facts=facts, histogram=bins) if facts or bins else None


def histogram_bins(value: Any) -> tuple[HistogramBin, ...]:
    """Return the bins of a histogram.

    Reads ``[{"low", "high", "count"}]`` (also ``from``/``to``, ``start``/``end``), ``[[low, high, count]]`` and
    ``{"edges": [...], "counts": [...]}``. Anything else gives no bins.
    """
    if isinstance(value, dict):
        edges, counts = value.get("edges") or value.get("bin_edges"), value.get("counts")
        if not isinstance(edges, list) or not isinstance(counts, list) or len(edges) != len(counts) + 1:
            return ()
        rows: list[tuple[Any, Any, Any]] = [
            (low, high, count) for (low, high), count in zip(pairwise(edges), counts, strict=True)
        ]
    elif isinstance(value, list):
        rows = [tuple(row) for row in value if isinstance(row, list) and len(row) == 3]
        rows += [
            (_first(row, "low"), _first(row, "high"), row.get("count", row.get("samples"))) for row in items(value)
        ]
    else:
        return ()
    return tuple(bin_ for bin_ in (_bin(*row) for row in rows) if bin_ is not None)


_SPELLINGS = {
    "low": ("low", "from", "start", "min", "lower", "from_tokens"),
    "high": ("high", "to", "end", "max", "upper", "to_tokens"),
}


def _first(row: Json, name: str) -> Any:
    return next((row[key] for key in _SPELLINGS[name] if key in row), None)


def _bin(low: Any, high: Any, count: Any) -> HistogramBin | None:
    first, last, amount = number(low), number(high), number(count)
    if first is None or last is None or amount is None:
        return None
    return HistogramBin(first, last, int(amount))
