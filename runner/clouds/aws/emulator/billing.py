"""What ``GetCostAndUsage`` of the emulated Cost Explorer returns, from the emulator's own meters.

As in the API reference (2017-10-25, read 2026-11-28): a row for each day, of $0 where nothing was billed. Every figure
is late by the setting ``aws.bill_late_s``. What a machine cost is a figure of the day it began on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from runner.emulation.calls import Answer
from runner.emulation.machines import EmulatedMachine

JSON = {"Content-Type": "application/x-amz-json-1.1"}


def cost_and_usage(body: bytes, machines: Iterable[EmulatedMachine], now: float, late_s: float) -> Answer:
    """Return the cost of some machines by day; a request that names no days is refused.

    Args:
        body: The request.
        machines: Those that carry the tag it asks for.
        now: Seconds since the epoch.
        late_s: How long after it was billed a figure is known.
    """
    try:
        asked = json.loads(body)["TimePeriod"]
        start, end = date.fromisoformat(asked["Start"]), date.fromisoformat(asked["End"])
    except (ValueError, KeyError, TypeError):
        return _refused("Start and End have to be days")
    if start >= end:
        return _refused("Start date (and hour) should be before end date (and hour)")
    days = [start + timedelta(days=number) for number in range((end - start).days)]
    usd = dict.fromkeys(days, 0.0)
    for machine in machines:
        begun = datetime.fromtimestamp(machine.created_at, UTC).date()
        if begun in usd:
            usd[begun] += machine.meter.billed_usd(now - late_s) if machine.created_at <= now - late_s else 0.0
    rows = [
        {
            "TimePeriod": {"Start": f"{day}", "End": f"{day + timedelta(days=1)}"},
            "Total": {"UnblendedCost": {"Amount": f"{amount:.10f}", "Unit": "USD"}},
            "Groups": [],
            "Estimated": True,
        }
        for day, amount in usd.items()
    ]
    return Answer(200, {"ResultsByTime": rows, "DimensionValueAttributes": []}, JSON)


def tag_asked_for(body: bytes) -> tuple[str, str] | None:
    """Return the tag and the one value that a request filters by; ``None`` where it filters by something else."""
    try:
        tags = json.loads(body)["Filter"]["Tags"]
        (value,) = tags["Values"]
        return str(tags["Key"]), str(value)
    except (ValueError, KeyError, TypeError):
        return None


def _refused(words: str) -> Answer:
    return Answer(400, {"__type": "ValidationException", "message": words}, JSON)
