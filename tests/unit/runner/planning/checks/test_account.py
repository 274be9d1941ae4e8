"""The cloud's lines: key, balance, and what bills already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from runner.cloud_api.models import Account, Cloud
from runner.errors import (
    AccessDeniedError,
    AccountError,
    CloudError,
    CloudUnavailableError,
    RateLimitedError,
    UnreadableAnswerError,
)
from runner.planning.checks.account import check_account, check_balance, check_billing, reported_once
from runner.planning.checks.line import Check
from runner.planning.market import ask
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import FakeCloud, thing


@dataclass
class Teller(FakeCloud):
    """An account that may have trouble and money."""

    trouble: CloudError | None = None
    balance_usd: float | None = None

    def account(self) -> Account:
        if self.trouble is not None:
            raise self.trouble
        return Account(self.name, "…1234", self.balance_usd)


def reached(address: str, environ: Mapping[str, str]) -> bool:
    return True


class Opened:
    """Opens the account it was given."""

    def __init__(self, cloud: FakeCloud) -> None:
        self.cloud = cloud

    def __call__(self, name: str, environ: Mapping[str, str]) -> Cloud:
        return self.cloud


def test_a_good_key_and_money_enough_pass() -> None:
    lines = check_account(
        "runpod", RealWorld({}), 3.0, open_account=Opened(Teller(name="runpod", balance_usd=10.0)), is_reachable=reached
    )

    assert lines == [
        Check("cloud key", "pass", "runpod …1234"),
        Check("balance", "pass", "$10.00, the run is expected to cost $3.00"),
    ]


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (AccountError("lambda: the key is not known", resolution="check the key"), "fail"),
        (AccessDeniedError("lambda: the key may not do this", resolution="use another key"), "fail"),
        (UnreadableAnswerError("lambda: the answer is another", resolution="look there"), "fail"),
        (CloudUnavailableError("lambda: no answer", resolution="ask again"), "warn"),
        (RateLimitedError("lambda: too many requests", resolution="wait"), "warn"),
    ],
    ids=["bad-key", "key-without-permission", "unreadable", "down", "too-many"],
)
def test_trouble_with_the_key_is_reported_and_a_cloud_out_of_reach_is_a_warning(
    trouble: CloudError, status: str
) -> None:
    key, balance = check_account(
        "lambda", RealWorld({}), open_account=Opened(Teller(trouble=trouble)), is_reachable=reached
    )

    asked = "could not be asked: " if status == "warn" else ""
    assert key == Check("cloud key", status, f"{asked}{trouble.message}", trouble.resolution)  # type: ignore[arg-type]
    assert balance.status == "skip"


def test_no_key_at_all_fails_with_what_to_set() -> None:
    key, _ = check_account("lambda", RealWorld({}))

    assert key == Check(
        "cloud key", "fail", "lambda: there is no API key",
        "set LAMBDA_API_KEY, or LAMBDA_API_KEY_FILE to a file that holds the key",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("balance_usd", "expected_usd", "status"),
    [(None, 3.0, "skip"), (0.0, None, "fail"), (-1.0, 3.0, "fail"), (2.0, 3.0, "warn"), (2.0, None, "pass")],
)
def test_the_balance_is_compared_with_what_the_run_costs(
    balance_usd: float | None, expected_usd: float | None, status: str
) -> None:
    line = check_balance("runpod", balance_usd, expected_usd)

    assert (line.status, bool(line.remedy)) == (status, status in ("warn", "fail"))


def test_a_machine_of_an_older_run_that_still_bills_is_reported() -> None:
    (line,) = check_billing("lambda", RealWorld({}), open_account=Opened(FakeCloud([thing()])), is_reachable=reached)

    assert line.status == "warn"
    assert line.value == "instance i-1 of run 20261121-015500-tiny ($1.00 an hour)"
    assert "make sweep" in line.remedy


def test_many_things_are_counted_and_a_price_that_is_not_reported_is_no_free_one() -> None:
    there = [replace(thing("volume", f"v-{number}", run_id=None), price_usd_per_h=None) for number in range(5)]

    (line,) = check_billing("lambda", RealWorld({}), open_account=Opened(FakeCloud(there)), is_reachable=reached)

    assert line.value.startswith("volume v-0 of run unknown (price unknown); ")
    assert line.value.endswith(" and 2 more")


def test_a_neighbour_that_cannot_be_read_hides_nothing_and_stops_no_plan() -> None:
    odd = UnreadableAnswerError("lambda: an instance without a price", resolution="look there")
    cloud = FakeCloud([thing()], unread=[odd])

    (line,) = check_billing("lambda", RealWorld({}), open_account=Opened(cloud), is_reachable=reached)

    assert line.status == "warn"
    assert line.value == (
        "instance i-1 of run 20261121-015500-tiny ($1.00 an hour); "
        "lambda could not be read to the end: lambda: an instance without a price"
    )
    assert ask(cloud).listing.resources == [thing()]


def test_what_costs_nothing_is_no_trouble() -> None:
    there = [replace(thing("key", "k-1"), price_usd_per_h=0.0)]

    (line,) = check_billing("lambda", RealWorld({}), open_account=Opened(FakeCloud(there)), is_reachable=reached)

    assert line == Check("still billing", "pass", "nothing of an older run (1 resource that costs nothing)")


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (AccessDeniedError("aws: may not list machines", resolution="use another key"), "fail"),
        (UnreadableAnswerError("aws: the answer is another", resolution="look there"), "fail"),
        (CloudUnavailableError("aws: no answer", resolution="ask again"), "warn"),
    ],
)
def test_an_account_that_does_not_say_what_is_there_is_not_taken_for_empty(trouble: CloudError, status: str) -> None:
    (line,) = check_billing(
        "aws", RealWorld({}), open_account=Opened(FakeCloud(listing_troubles=[trouble])), is_reachable=reached
    )

    assert line.status == status


def test_a_key_that_fails_is_reported_once() -> None:
    key, billing = Check("cloud key", "fail", "no key", "set it"), Check("still billing", "fail", "no key", "set it")

    assert reported_once([key, billing]) == [key, Check("still billing", "skip", "needs the cloud key")]
    assert reported_once([Check("cloud key", "pass", "lambda"), billing])[1] == billing
