"""What ``GET /v2/billing/pods`` of the emulated RunPod returns, from the emulator's own meters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from runner.emulation.machines import EmulatedMachine

HOUR_S = 3600.0
BUCKETS = ("hour", "day", "week", "month", "year")
SPAN_S = 30 * 86400.0


class BillingError(ValueError):
    """A question about bills that the vendor does not take."""


def pod_bills(machines: Sequence[EmulatedMachine], query: Mapping[str, str], now: float) -> dict[str, object]:
    """Return the bills of the pods in a span of time, widened to whole hours, a record a pod.

    Raises:
        BillingError: If the query is not as the vendor wants it.
    """
    since, until = _instant(query, "startTime", now - SPAN_S), _instant(query, "endTime", now)
    since, until = math.floor(since / HOUR_S) * HOUR_S, math.ceil(until / HOUR_S) * HOUR_S
    bucket = query.get("bucketSize", "day")
    if bucket not in BUCKETS:
        raise BillingError(f"bucketSize: use {', '.join(BUCKETS)}")
    wanted = query.get("podId")
    records = [_record(machine, since, until, now) for machine in machines if wanted in (None, machine.id)]
    records = [record for record in records if record["totalAmount"]]
    total = sum(float(str(record["totalAmount"])) for record in records)
    asked: dict[str, object] = {"startTime": _shown(since), "endTime": _shown(until), "bucketSize": bucket}
    if wanted is not None:
        asked["podId"] = wanted
    return {
        "records": records,
        "metadata": {
            "query": asked,
            "recordCount": len(records),
            "uniquePodCount": len(records),
            "totals": {"totalAmount": total, "gpuAmount": total, "cpuAmount": 0.0, "diskAmount": 0.0},
        },
    }


def _record(machine: EmulatedMachine, since: float, until: float, now: float) -> dict[str, object]:
    is_within = machine.created_at < until and (machine.ended_at is None or machine.ended_at > since)
    usd = round(machine.meter.billed_usd(min(now, until)), 6) if is_within else 0.0
    amounts = {"totalAmount": usd, "gpuAmount": usd, "cpuAmount": 0.0, "diskAmount": 0.0}
    return {"startTime": _shown(since), "endTime": _shown(until), "podId": machine.id, **amounts}


def _instant(query: Mapping[str, str], name: str, default: float) -> float:
    if name not in query:
        return default
    try:
        at = datetime.fromisoformat(query[name].replace("Z", "+00:00"))
    except ValueError as err:
        raise BillingError(f"{name}: not a date and time") from err
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
