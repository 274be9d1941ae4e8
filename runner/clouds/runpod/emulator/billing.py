"""What ``GET /v2/billing/pods`` of the emulated RunPod returns, from the emulator's own meters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from runner.emulation.machines import EmulatedMachine

HOUR_S = 3600.0
BUCKETS = ("hour", "day", "week", "month", "year")
SPAN_S = 30 * 86400.0
AMOUNTS = ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount")


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
    asked_for = [machine for machine in machines if wanted in (None, machine.id)]
    bills = [(machine.id, _amounts(machine, since, until, now)) for machine in asked_for]
    bills = [(pod_id, amounts) for pod_id, amounts in bills if amounts["totalAmount"]]
    span = {"startTime": _shown(since), "endTime": _shown(until)}
    asked: dict[str, object] = {**span, "bucketSize": bucket}
    if wanted is not None:
        asked["podId"] = wanted
    return {
        "records": [{**span, "podId": pod_id, **amounts} for pod_id, amounts in bills],
        "metadata": {
            "query": asked,
            "recordCount": len(bills),
            "uniquePodCount": len(bills),
            "totals": {name: sum(amounts[name] for _, amounts in bills) for name in AMOUNTS},
        },
    }


def _amounts(machine: EmulatedMachine, since: float, until: float, now: float) -> dict[str, float]:
    """Return what a pod has cost in US dollars, its disk apart from its GPUs."""
    is_within = machine.created_at < until and (machine.ended_at is None or machine.ended_at > since)
    if not is_within:
        return dict.fromkeys(AMOUNTS, 0.0)
    total, disk = (round(meter.billed_usd(min(now, until)), 6) for meter in (machine.meter, machine.disk_meter))
    return dict(zip(AMOUNTS, (total, round(total - disk, 6), 0.0, disk), strict=True))


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
