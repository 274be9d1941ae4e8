"""Whether the clouds' own meters lie in a receipt's ranges: that of each machine, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HAIR_USD = 1e-6
"""The meters are shown in millionths of a dollar."""
Row = Mapping[str, Any]


def outside_receipt(receipt: Mapping[str, Any], machines: Sequence[Row]) -> list[str]:
    """Return what of the meters is not in a receipt's ranges, a line each; nothing is what one hopes for.

    Args:
        receipt: The receipt of a run.
        machines: Rows of ``GET /machines`` of the emulated clouds, of this run and of others.
    """
    mine = [row for row in machines if receipt["run_id"] in row["name"]]
    known = {line["machine_id"]: line for line in receipt["machines"] if line["machine_id"] is not None}
    lines = [_line_of(row, known, receipt["machines"]) for row in mine]
    found = [
        f"{row['id']} is not in the receipt, and was billed ${row['billed_usd']:.6f}"
        if line is None
        else _outside(str(row["id"]), row["billed_usd"], line["cost_range_usd"])
        for row, line in zip(mine, lines, strict=True)
    ]
    whole = _outside("the run", sum(row["billed_usd"] for row in mine), receipt["cost_range_usd"])
    return [one for one in (*found, whole) if one is not None]


def _line_of(row: Row, known: Mapping[str, Row], lines: Sequence[Row]) -> Row | None:
    """Return the receipt's line of a machine: its own, else that of a request whose machine nobody ever saw."""
    if row["id"] in known:
        return known[row["id"]]
    return next((line for line in lines if line["machine_id"] is None and line["cloud"] == row["cloud"]), None)


def _outside(what: str, billed_usd: float, range_usd: Sequence[float | None]) -> str | None:
    low, high = range_usd
    if (low or 0.0) - HAIR_USD <= billed_usd and (high is None or billed_usd <= high + HAIR_USD):
        return None
    most = "unknown" if high is None else f"${high:.6f}"
    return f"the meter of {what} shows ${billed_usd:.6f}, and the receipt says ${low:.6f} to {most}"
