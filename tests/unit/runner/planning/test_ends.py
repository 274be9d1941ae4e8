"""When a machine has to be over, and what it may cost until then."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from runner.cloud_api.models import Offer
from runner.clouds.registry import CLOUDS
from runner.errors import EXIT_USAGE
from runner.planning.candidates import Wanted, planned
from runner.planning.choose import Choice, choose
from runner.planning.ends import BudgetError, End, Means, Used, check_budget, end_of
from runner.planning.estimate.forecast import make_task
from runner.planning.estimate.model_shape import shape_of
from runner.planning.month import MonthSpend
from runner.run.run_file import RunFile
from tests.unit.runner.planning.estimate.test_model_shape import LLAMA_8B

A10 = Offer("gpu_1x_a10", "us-west-1", False, 0.75, "A10", 1, 24.0, available=True)
H100 = Offer("gpu_1x_h100_sxm5", "us-west-1", False, 2.49, "H100 SXM", 1, 80.0, available=True)
DATA = {"train_tokens": 20_000_000, "train_samples": 40_000, "eval_tokens": 10_000, "eval_samples": 20}
HOUR_S = 3600.0


def asked(env: str = "lambda", *, compute: dict[str, Any] | None = None, **budget: Any) -> RunFile:
    return RunFile.model_validate(
        {"data": {"train_path": "x"}, "compute": {"env": env, **(compute or {})}, "budget": budget}
    )


def ended(
    longest_s: float | None, used: Used | None = None, *, env: str = "lambda", offer: Offer = A10, **budget: Any
) -> End:
    means = Means(asked(env, **budget).budget, used or Used())
    return end_of(env, offer, planned(offer, [offer], Wanted()), means, 100.0, longest_s)


def pick(run_file: RunFile, offers: list[Offer], used: Used | None = None) -> Choice:
    task = make_task(run_file, shape_of(LLAMA_8B), DATA, model_bytes=0, staged_bytes=0, data_bytes=0)
    means = Means(run_file.budget, used or Used())
    return choose(run_file, offers, task, disk_needed_gib=1.0, means=means)


@pytest.mark.parametrize(
    ("longest_h", "budget", "training_h"),
    [(0.2, {}, 2.0), (0.9, {}, 2.7), (None, {}, 24.0), (0.9, {"max_hours": 0.5}, 0.5), (None, {"max_hours": 30}, 30.0)],
    ids=["short-run", "three-times-the-forecast", "no-forecast", "said", "said-without-a-forecast"],
)
def test_training_ends_by_the_forecast_unless_the_run_file_says_when_and_the_machine_an_hour_later(
    longest_h: float | None, budget: dict[str, float], training_h: float
) -> None:
    found = ended(None if longest_h is None else longest_h * HOUR_S, **budget)

    assert found.training_h == pytest.approx(training_h)
    assert found.hours == pytest.approx(training_h + 1)


def test_a_machine_is_over_when_its_highest_price_would_have_used_up_what_is_left() -> None:
    spot = replace(A10, spot=True, price_usd_per_h=0.25)
    means = Means(asked(max_usd=2.0).budget, Used(usd=0.5))

    found = end_of("lambda", spot, planned(spot, [spot, A10], Wanted()), means, 100.0, 0.5 * HOUR_S)

    assert found.hours == pytest.approx(1.5 / 0.75)
    assert found.most_usd == pytest.approx(1.5)


def test_its_disk_is_paid_from_the_same_dollars() -> None:
    where = Offer("g5.xlarge", "us-east-1", False, 1.0, "A10G", 1, 24.0)

    found = ended(None, env="aws", offer=where, max_usd=5.0)

    assert found.usd_per_h > 1.0
    assert found.hours < 5.0 - found.late_h
    assert found.most_usd == pytest.approx(5.0)
    machine = found.of(planned(where, [where], Wanted()))
    assert (machine.disk_usd_per_h or 0.0) + machine.max_price_usd_per_h == pytest.approx(found.usd_per_h, abs=1e-6)


def test_a_timer_that_begins_with_the_boot_may_end_so_much_later() -> None:
    where = Offer("g5.xlarge", "us-east-1", False, 1.0, "A10G", 1, 24.0)
    late_h = CLOUDS["aws"].boot.high_s / HOUR_S

    aws, other = ended(HOUR_S, env="aws", offer=where), ended(HOUR_S)

    assert aws.late_h == late_h > 0
    assert aws.most_usd == pytest.approx((aws.hours + late_h) * aws.usd_per_h)
    assert other.late_h == 0
    assert other.most_usd == pytest.approx(4 * 0.75)


def test_a_planned_machine_has_its_own_end_and_the_most_it_may_cost() -> None:
    choice = pick(asked(max_usd=30.0), [A10, H100])
    first, second = choice.machines

    for one, found in zip((first, second), choice.forecasts, strict=True):
        assert found.durations is not None
        longest_h = found.durations.total_s.high / HOUR_S
        assert one.training_limit_h == pytest.approx(max(2.0, 3 * longest_h), abs=1e-3)
        assert one.hard_end_h == pytest.approx(min(one.training_limit_h + 1, 30.0 / one.max_price_usd_per_h), abs=1e-3)
        assert one.most_usd == pytest.approx(one.hard_end_h * one.max_price_usd_per_h, abs=0.02)
        assert one.most_usd <= 30.0
    assert first.hard_end_h != second.hard_end_h


def test_a_machine_whose_money_is_spent_before_the_run_may_be_over_is_left_out() -> None:
    dear = replace(H100, price_usd_per_h=90.0)
    everything, some = pick(asked(), [A10, dear]), pick(asked(max_usd=20.0), [A10, dear])

    assert len(everything.machines) == 2
    assert everything.too_early == ()
    assert [one.instance_type for one in some.machines] == ["gpu_1x_a10"]
    assert some.too_early == ("gpu_1x_h100_sxm5 in us-west-1",)


def test_dollars_that_earlier_tries_have_spent_are_not_there_for_the_next_machine() -> None:
    needed = ended(pick(asked(), [A10]).forecasts[0].durations.total_s.high).needed_usd  # type: ignore[union-attr]
    limit = asked(max_usd=needed + 1.0)  # type: ignore[operator]

    assert pick(limit, [A10], Used(usd=0.9)).machines
    with pytest.raises(BudgetError, match=r"of which earlier tries have spent \$1\.10") as caught:
        pick(limit, [A10], Used(usd=1.1))

    assert caught.value.resolution.startswith(f"set budget.max_usd to {needed + 1.1:.2f}"[:-1])  # type: ignore[operator]


def test_hours_that_are_asked_for_end_no_candidate() -> None:
    """Whoever sets them wants the run to stop there, and to go on another time."""
    found = pick(asked(max_hours=0.1, max_usd=1.0), [A10])

    assert found.machines[0].training_limit_h == 0.1
    assert found.machines[0].hard_end_h == pytest.approx(1.1)


def test_a_budget_that_pays_for_no_machine_is_refused_with_what_the_cheapest_needs() -> None:
    means = Means(asked(max_usd=1.5).budget)
    ends = {
        "gpu_1x_a10": End(2.0, 3.0, 0.0, 2.0, 1.5, longest_h=1.0),
        "gpu_1x_h100": End(2.0, 3.0, 0.0, 9.0, 1.5, longest_h=1.0),
    }

    with pytest.raises(BudgetError) as caught:
        check_budget(ends, means)

    assert caught.value.exit_code == EXIT_USAGE
    assert caught.value.message == (
        "plan: budget.max_usd is 1.5, and the cheapest machine, gpu_1x_a10, may cost up to $2.00 until the run is over"
    )
    assert "2 machines compared" in (caught.value.details or "")
    assert caught.value.resolution == "set budget.max_usd to 2.00, or train less or a smaller model"


def of_month(usd: float, *unknown: str) -> MonthSpend:
    return MonthSpend("2026-11", datetime(2026, 12, 1, tzinfo=UTC), {"run-a": usd}, unknown)


def test_what_all_runs_leave_of_a_month_is_what_a_run_may_cost() -> None:
    means = Means(asked(month_usd=10.0).budget, month=of_month(7.5))
    (machine,) = choose(asked(month_usd=10.0), [A10], None, disk_needed_gib=1.0, means=means).machines

    assert means.usd == 2.5
    assert machine.most_usd is not None
    assert machine.most_usd <= 2.5


@pytest.mark.parametrize(
    ("max_usd", "month_usd", "spent", "left", "limit"),
    [
        (None, None, 50.0, math.inf, "budget.max_usd"),
        (5.0, None, 50.0, 5.0, "budget.max_usd"),
        (5.0, 20.0, 15.0, 5.0, "budget.max_usd"),
        (5.0, 20.0, 16.0, 4.0, "budget.month_usd"),
        (None, 20.0, 25.0, 0.0, "budget.month_usd"),
    ],
)
def test_the_limit_that_leaves_the_least_counts(
    max_usd: float | None, month_usd: float | None, spent: float, left: float, limit: str
) -> None:
    means = Means(asked(max_usd=max_usd, month_usd=month_usd).budget, month=of_month(spent))

    assert (means.usd, means.limit) == (left, limit)


def test_a_month_that_is_spent_is_refused_with_what_was_spent_where() -> None:
    month = of_month(9.0, "run-b")
    ends = {"gpu_1x_a10": End(2.0, 3.0, 0.0, 2.0, 1.0, longest_h=1.0)}

    with pytest.raises(BudgetError) as caught:
        check_budget(ends, Means(asked(month_usd=10.0).budget, month=month))

    assert caught.value.exit_code == EXIT_USAGE
    assert caught.value.message == (
        "plan: budget.month_usd is 10, of which all runs have spent at least $9.00 in 2026-11; run-a $9.00; "
        "not all is known of run-b, and the cheapest machine, gpu_1x_a10, may cost up to $2.00 until the run is over"
    )
    assert caught.value.resolution == (
        "set budget.month_usd to 11.00, wait until 2026-12-01, or train less or a smaller model"
    )


def test_without_a_limit_or_a_machine_no_budget_is_refused() -> None:
    check_budget({"gpu_1x_h100": End(2.0, 3.0, 0.0, 9.0, math.inf, longest_h=1.0)}, Means(asked().budget))
    check_budget({}, Means(asked(max_usd=0.01).budget))


def test_where_nothing_is_foreseen_the_money_has_to_last_until_the_machine_is_set_up() -> None:
    enough, little = asked(max_usd=0.4), asked(max_usd=0.3)

    (machine,) = choose(enough, [A10], None, disk_needed_gib=1.0).machines
    assert machine.hard_end_h == pytest.approx(0.4 / 0.75, abs=0.01)
    with pytest.raises(BudgetError, match=r"gpu_1x_a10 in us-west-1, may cost up to \$0\.38"):
        choose(little, [A10], None, disk_needed_gib=1.0)
    assert choose(enough, [A10, H100], None, disk_needed_gib=1.0).too_early == ("gpu_1x_h100_sxm5 in us-west-1",)


def test_hours_of_earlier_tries_are_not_trained_again() -> None:
    assert ended(HOUR_S, Used(hours=1.5), max_hours=2.0).training_h == pytest.approx(0.5)
    assert ended(HOUR_S, Used(hours=1.5)).training_h == pytest.approx(3.0), "the default is of one try"
