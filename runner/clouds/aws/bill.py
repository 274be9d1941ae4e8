"""What AWS bills for a run: Cost Explorer, by the run's tag."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from runner.cloud_api.environment import BilledRun
from runner.cloud_api.labels import RUN_TAG
from runner.clouds.aws.listing import required
from runner.clouds.aws.refusals import aws_errors, unreadable

METRIC = "UnblendedCost"


def bill_in(client: Any, billed: BilledRun) -> float | None:
    """Return the US dollars of all that carries a run's tag, or ``None`` where there is no figure yet.

    Args:
        client: boto3's client of Cost Explorer.
        billed: The run.

    Raises:
        CloudError: If AWS refuses, or its answer cannot be read.
    """
    doing = f"read the bill of run {billed.run_id}"
    request = {
        "TimePeriod": {"Start": _day(billed.since), "End": _day(billed.until + timedelta(days=1))},
        "Granularity": "DAILY",
        "Metrics": [METRIC],
        "Filter": {"Tags": {"Key": RUN_TAG, "Values": [billed.run_id]}},
    }
    days: list[float] = []
    while True:
        with aws_errors(doing):
            page = client.get_cost_and_usage(**request)
        found = page.get("ResultsByTime")
        if not isinstance(found, list):
            raise unreadable(doing, "get_cost_and_usage answered without ResultsByTime")
        days += [_usd(entry, doing) for entry in found]
        if not page.get("NextPageToken"):
            return sum(days) if any(days) else None  # a day without a figure is a day of $0 in its answers
        request["NextPageToken"] = page["NextPageToken"]


def _usd(entry: Any, doing: str) -> float:
    """Return the dollars of one day."""
    total = required(required(entry, "Total", doing), METRIC, doing)
    unit, amount = required(total, "Unit", doing), str(required(total, "Amount", doing))
    try:
        usd = float(amount)
    except ValueError:
        usd = math.nan
    if unit != "USD" or not math.isfinite(usd):
        raise unreadable(doing, f"a cost of {amount} {unit}")
    return usd


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}"
