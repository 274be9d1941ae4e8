"""A cloud's own bill beside ours, in words and as data."""

from __future__ import annotations

from typing import Any

import pytest

from runner.report.run.bills import bill_words, bills

LINES = [
    {"cloud": "runpod", "cost_range_usd": [0.40, 0.42]},
    {"cloud": "lambda", "cost_range_usd": [9.0, 9.1]},
    {"cloud": "runpod", "cost_range_usd": [0.10, 0.11]},
]


def receipt(**bill: Any) -> dict[str, Any]:
    return {"machines": LINES, "vendor_bill": {"runpod": bill}}


@pytest.mark.parametrize(
    ("usd", "difference", "words"),
    [
        (0.51, 0.0, "$0.51 by its own bill of 2026-11-22T02:00 UTC; ours is $0.50 to $0.53"),
        (0.63, 0.1, "$0.63 by its own bill of 2026-11-22T02:00 UTC; ours is $0.50 to $0.53, $0.10 more than that"),
        (0.30, -0.2, "$0.30 by its own bill of 2026-11-22T02:00 UTC; ours is $0.50 to $0.53, $0.20 less than that"),
    ],
)
def test_a_bill_is_compared_with_our_range_of_that_cloud(usd: float, difference: float, words: str) -> None:
    found = receipt(usd=usd, asked_at="2026-11-22T02:00:00+00:00")

    assert bill_words(found) == [f"runpod: {words}"]
    assert bills(found)["runpod"]["difference_usd"] == pytest.approx(difference)


def test_a_bill_that_is_not_there_says_why_and_is_never_zero() -> None:
    found = receipt(usd=None, why="not billed yet")

    assert bill_words(found) == ["runpod: not billed yet"]
    assert bills(found)["runpod"] == {"usd": None, "why": "not billed yet", "difference_usd": None}


def test_a_receipt_of_an_older_version_has_no_bill() -> None:
    assert (bill_words({"cost_usd": 1.0}), bills({})) == ([], {})
