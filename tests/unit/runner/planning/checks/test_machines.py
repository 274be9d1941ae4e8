"""The lines that need to know what is for rent: fit, budget, the age of prices, and the money that is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from runner.cloud_api.models import Account, Offer, Placement, Quota
from runner.errors import NoCapacityError, RunnerError
from runner.planning.checks.line import Check, passed
from runner.planning.checks.machines import check_prices, choose_checked, replaced
from runner.planning.choose import Choice, choose
from runner.planning.ends import BudgetError
from runner.planning.estimate.fit import DoesNotFitError
from runner.planning.estimate.forecast import make_task
from runner.planning.estimate.model_shape import shape_of
from runner.planning.market import Market
from runner.prices.price_list import STALE_AFTER_DAYS, all_prices
from runner.prices.refresh import listed_offers
from runner.run.run_file import RunFile
from tests.unit.runner.planning.estimate.test_model_shape import LLAMA_8B

A10 = Offer("gpu_1x_a10", "us-west-1", False, 0.75, "A10", 1, 24.0, available=True)
DATA = {"train_tokens": 20_000_000, "train_samples": 40_000, "eval_tokens": 10_000, "eval_samples": 20}
TODAY = min(row.as_of for row in all_prices("lambda"))
"""The day of the oldest price."""


def no_quotas(offers: Sequence[Offer]) -> dict[Offer, Quota]:
    return {}


def no_places(offers: Sequence[Offer]) -> dict[Offer, Placement]:
    return {}


def rented(env: str = "lambda", **sections: Any) -> RunFile:
    return RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": env}, **sections})


def choosing(run_file: RunFile) -> Choice:
    """Choose for an 8B model with 20 million tokens."""
    task = make_task(run_file, shape_of(LLAMA_8B), DATA, model_bytes=0, staged_bytes=0, data_bytes=0)
    return choose(run_file, [A10], task, disk_needed_gib=1.0)


def lines(run_file: RunFile, account: Account | None = None) -> dict[str, Check]:
    market = Market([A10], account)
    return {
        line.name: line
        for line in choose_checked(run_file, market, lambda _: choosing(run_file), TODAY, no_quotas, no_places).checks
    }


def raising(err: RunnerError) -> Callable[[Sequence[Offer]], Choice]:
    def choose_nothing(offers: Sequence[Offer]) -> Choice:
        raise err

    return choose_nothing


def test_a_run_that_fits_says_what_it_needs() -> None:
    found = lines(rented())

    assert found["gpu memory"].status == "pass"
    assert found["gpu memory"].value.endswith(
        "of 24 GiB for a micro-batch of 1 row on A10, which has the least to spare of the machines to try"
    )
    assert found["budget"] == Check("budget", "skip", "budget.max_usd is not set")
    assert found["prices"] == Check("prices", "pass", "as lambda reports them now")
    assert "balance" not in found


def test_a_run_of_which_the_memory_is_not_known_does_not_pass() -> None:
    def blindly(offers: Sequence[Offer]) -> Choice:
        return choose(rented(), offers, None, disk_needed_gib=1.0)

    found = choose_checked(rented(), Market([A10]), blindly, TODAY, no_quotas, no_places).checks

    (line,) = [line for line in found if line.name == "gpu memory"]
    assert (line.status, line.value) == (
        "warn",
        "not known whether the run fits: the base model's layers are not known",
    )


def test_a_run_without_a_gpu_needs_no_gpu_memory() -> None:
    assert lines(rented(compute={"env": "lambda", "gpu_required": False}))["gpu memory"].status == "skip"


@pytest.mark.parametrize(
    ("err", "name"),
    [
        (DoesNotFitError("plan: the run needs 99 GiB", resolution="take less"), "gpu memory"),
        (BudgetError("plan: budget.max_usd is 1", resolution="set more"), "budget"),
        (NoCapacityError("plan: none of the machines will do", resolution="ask for less"), "machines"),
    ],
)
def test_why_there_is_no_machine_is_a_line_that_failed(err: RunnerError, name: str) -> None:
    choice, found = choose_checked(rented(), Market([]), raising(err), TODAY, no_quotas, no_places)

    (line,) = [line for line in found if line.status == "fail"]
    assert choice is None
    assert line == Check(name, "fail", err.message.removeprefix("plan: "), err.resolution)
    assert line.error is err


def test_another_error_passes_through() -> None:
    with pytest.raises(RunnerError, match="oh"):
        choose_checked(rented(), Market([]), raising(RunnerError("oh", resolution="-")), TODAY, no_quotas, no_places)


def test_a_budget_is_compared_with_the_range_of_the_estimate() -> None:
    usd = choosing(rented()).forecast.cost.total_usd  # type: ignore[union-attr]

    enough = lines(rented(budget={"max_usd": usd.high + 1}))["budget"]
    tight = lines(rented(budget={"max_usd": (usd.expected + usd.high) / 2}))["budget"]
    stopped = lines(rented(budget={"max_usd": (usd.expected + usd.high) / 2, "max_hours": 0.5}))["budget"]

    assert enough.status == "pass"
    assert (tight.status, tight.remedy.startswith("set budget.max_usd to ")) == ("fail", True)
    assert (stopped.status, stopped.remedy.startswith("set budget.max_usd to ")) == ("warn", True)


def test_a_machine_that_the_money_would_not_pay_for_is_named_as_left_out() -> None:
    dear = replace(A10, instance_type="gpu_1x_gold", price_usd_per_h=90.0)
    plenty, enough = rented(budget={"max_usd": 9000.0}), rented(budget={"max_usd": 20.0})

    def said(run_file: RunFile) -> str:
        task = make_task(run_file, shape_of(LLAMA_8B), DATA, model_bytes=0, staged_bytes=0, data_bytes=0)
        choosing = lambda offers: choose(run_file, offers, task, disk_needed_gib=1.0)  # noqa: E731
        found = choose_checked(run_file, Market([A10, dear]), choosing, TODAY, no_quotas, no_places)
        return next(line.value for line in found.checks if line.name == "budget")

    assert said(enough).endswith("; left out, for it may not pay for the whole run there: gpu_1x_gold in us-west-1")
    assert "left out" not in said(plenty)


def test_a_budget_without_an_estimate_is_a_warning() -> None:
    run_file = rented(budget={"max_usd": 5.0})

    _, found = choose_checked(
        run_file,
        Market([A10]),
        lambda _: choose(run_file, [A10], None, disk_needed_gib=1.0),
        TODAY,
        no_quotas,
        no_places,
    )

    assert {line.name: line.status for line in found} == {
        "gpu memory": "warn", "budget": "warn", "prices": "pass", "quota": "skip",
    }  # fmt: skip


@pytest.mark.parametrize(("balance_usd", "status"), [(1000.0, "pass"), (0.01, "warn"), (0.0, "fail")])
def test_the_money_that_is_left_is_compared_with_what_the_run_costs(balance_usd: float, status: str) -> None:
    assert lines(rented(), Account("lambda", "me", balance_usd))["balance"].status == status


def test_the_quota_is_that_of_the_machines_to_try_alone() -> None:
    listed = [
        Offer(name, "us-east-1", False, 1.0, "GPU", 1, gib) for name, gib in (("g5.xlarge", 24), ("p3.2xlarge", 16))
    ]
    run_file = rented("aws", compute={"env": "aws", "min_gpu_memory_gib": 20.0})
    asked: list[str] = []

    def nothing(offers: Sequence[Offer]) -> dict[Offer, Quota]:
        asked.extend(offer.instance_type for offer in offers)
        return {offer: Quota("vCPUs", offer.region, 0.0) for offer in offers}

    market = Market(listed, Account("aws", "me"))
    _, found = choose_checked(
        run_file, market, lambda _: choose(run_file, listed, None, disk_needed_gib=1.0), TODAY, nothing, no_places
    )

    assert asked == ["g5.xlarge"]
    assert [line.value for line in found if line.status == "fail"] == ["0 vCPUs of vCPUs in us-east-1, g5.xlarge has 4"]


def test_a_newer_line_takes_the_place_of_an_older_one() -> None:
    older = [passed("balance", "$5"), passed("ansible", "here")]

    assert replaced(older, [passed("balance", "$5 of $3"), passed("budget", "-")]) == [
        passed("balance", "$5 of $3"), passed("ansible", "here"), passed("budget", "-"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("env", "remark", "days", "status"),
    [
        ("lambda", None, 4000, "pass"),
        ("lambda", "offline", 0, "pass"),
        ("lambda", "offline", 4000, "warn"),
        ("aws", None, 4000, "warn"),
    ],
    ids=["told-by-the-cloud", "fresh-list", "old-list", "aws-may-tell-no-prices-on-demand"],
)
def test_only_prices_of_a_list_grow_old(env: str, remark: str | None, days: int, status: str) -> None:
    dated = listed_offers("aws") if env == "aws" else []
    line = check_prices(rented(env), Market(dated, remark=remark), TODAY + timedelta(days=days))

    assert line.status == status
    if status == "warn":
        rows = [row for row in all_prices(env) if remark is not None or not row.spot]
        assert f"{len(rows)} rows are out of date: " in line.value
        assert line.value.endswith(f" and {len(rows) - 3} more")
        assert line.remedy == f"refresh the list: `make prices ENV={env}`"


def test_prices_that_aws_reports_do_not_grow_old() -> None:
    (dated,) = [one for one in listed_offers("aws") if (one.instance_type, one.region) == ("g5.xlarge", "eu-west-1")]
    fresh = replace(dated, is_price_dated=False)

    def said(*offers: Offer) -> str:
        return check_prices(rented("aws"), Market(list(offers)), TODAY + timedelta(days=4000)).value

    assert said(fresh) == "as aws reports them now"
    assert said(fresh, replace(dated, region="us-east-1")).startswith("1 row is out of date: g5.xlarge (")


def test_a_price_is_old_after_a_month() -> None:
    market = Market([], remark="offline")

    def status(day: date) -> str:
        return check_prices(rented(), market, day).status

    assert status(TODAY + timedelta(days=STALE_AFTER_DAYS)) == "pass"
    assert status(TODAY + timedelta(days=STALE_AFTER_DAYS + 1)) == "warn"
