"""Cost Explorer: which question is asked, its pages, and answers that are no figure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runner.cloud_api.environment import BilledRun
from runner.clouds.aws.bill import bill_in
from runner.errors import AccessDeniedError, UnreadableAnswerError

RUN = BilledRun(
    "20261121-015500-tiny",
    ("i-1",),
    datetime(2026, 11, 21, 23, 0, tzinfo=UTC),
    datetime(2026, 11, 22, 1, 0, tzinfo=UTC),
)


class Explorer:
    """Answers page by page, and keeps what it was asked."""

    def __init__(self, *pages: dict[str, Any] | Exception) -> None:
        self.asked: list[dict[str, Any]] = []
        self._pages = list(pages)

    def get_cost_and_usage(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        page = self._pages.pop(0)
        if isinstance(page, Exception):
            raise page
        return page


def day(amount: str, unit: str = "USD") -> dict[str, Any]:
    return {"Total": {"UnblendedCost": {"Amount": amount, "Unit": unit}}}


def test_the_run_is_asked_for_by_its_tag_over_all_its_days() -> None:
    explorer = Explorer({"ResultsByTime": [day("0.25"), day("0.5")]})

    assert bill_in(explorer, RUN) == 0.75
    (asked,) = explorer.asked
    assert asked["TimePeriod"] == {"Start": "2026-11-21", "End": "2026-11-23"}
    assert asked["Filter"] == {"Tags": {"Key": "douse-run", "Values": [RUN.run_id]}}


def test_every_page_counts() -> None:
    explorer = Explorer(
        {"ResultsByTime": [day("0.25")], "NextPageToken": "next"}, {"ResultsByTime": [day("0.5")], "NextPageToken": ""}
    )

    assert bill_in(explorer, RUN) == 0.75
    assert explorer.asked[1]["NextPageToken"] == "next"


@pytest.mark.parametrize("days", [[], [day("0")], [day("0.0000000000"), day("0")]])
def test_days_of_nothing_are_no_figure(days: list[dict[str, Any]]) -> None:
    assert bill_in(Explorer({"ResultsByTime": days}), RUN) is None


@pytest.mark.parametrize(
    "page",
    [{}, {"ResultsByTime": [{}]}, {"ResultsByTime": [day("much")]}, {"ResultsByTime": [day("nan")]},
     {"ResultsByTime": [day("1", "CNY")]}],
)  # fmt: skip
def test_an_answer_without_dollars_is_never_zero(page: dict[str, Any]) -> None:
    with pytest.raises(UnreadableAnswerError):
        bill_in(Explorer(page), RUN)


def test_a_key_that_may_not_see_bills_is_said() -> None:
    refused = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "ce:GetCostAndUsage"}}, "x")

    with pytest.raises(AccessDeniedError, match="read the bill of run 20261121-015500-tiny"):
        bill_in(Explorer(refused), RUN)
