"""What the clouds themselves billed for a run, beside the receipt's own range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.report import wording
from runner.report.sources import mapping, number


def bill_words(receipt: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each cloud's bill of a run: the figure and how far it is from ours, or why there is none.

    Args:
        receipt: The run's receipt; those of older versions hold no bill.
    """
    return [_words(cloud, mapping(bill), receipt) for cloud, bill in mapping(receipt.get("vendor_bill")).items()]


def bills(receipt: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each cloud's bill of a run as plain data, with its distance from our range."""
    return {
        cloud: {**bill, "difference_usd": _difference_usd(bill, _range_of(cloud, receipt))}
        for cloud, bill in mapping(receipt.get("vendor_bill")).items()
    }


def _difference_usd(bill: Mapping[str, Any], range_usd: tuple[float, float | None]) -> float | None:
    """Return how far a bill is from our range in US dollars: 0 inside, above 0 where the cloud bills more."""
    usd, (low, high) = number(bill.get("usd")), range_usd
    if usd is None or high is None:
        return None
    return usd - high if usd > high else min(0.0, usd - low)


def _range_of(cloud: str, receipt: Mapping[str, Any]) -> tuple[float, float | None]:
    """Return our own range for a run's machines on one cloud, in US dollars."""
    ranges = [line["cost_range_usd"] for line in receipt.get("machines", ()) if line["cloud"] == cloud]
    highs = [high for _, high in ranges]
    return sum(low for low, _ in ranges), None if None in highs else sum(highs)


def _words(cloud: str, bill: Mapping[str, Any], receipt: Mapping[str, Any]) -> str:
    if number(bill.get("usd")) is None:
        return f"{cloud}: {bill.get('why')}"
    ours = _range_of(cloud, receipt)
    off = _difference_usd(bill, ours)
    beside = f"ours is {wording.dollar_range(ours)}"
    apart = "" if not off else f", {wording.dollars(abs(off))} {'more' if off > 0 else 'less'} than that"
    return f"{cloud}: {wording.dollars(bill['usd'])} by its own bill of {bill['asked_at'][:16]} UTC; {beside}{apart}"
