"""Of a plan for several machines, what was expected of the one that was rented."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from runner.planning.estimate.cost import compare_with_actual
from runner.planning.estimate.duration import Hardware, estimate_durations
from runner.planning.estimate.finished_run import planned_usd
from runner.planning.estimate.gpu_specs import find_gpu
from runner.planning.estimate.settling import settle
from runner.run.planned import forecast_for, lenient_plan
from tests.unit.runner.planning.estimate.test_ledger import WORK, corrected, estimate_of, row_of, write_run

A10_HERE = {"instance_type": "gpu_1x_a10", "region": "us-west-1", "spot": False, "trust": "secure"}
H100_SPOT = {"instance_type": "gpu_1x_h100", "region": "any", "spot": True, "trust": "secure"}
HOST = {"instance_type": "gpu_1x_h100", "region": "us-east-3", "spot": True, "price_usd_per_h": 2.0, "cloud": "lambda"}
H100 = Hardware("lambda", find_gpu("H100 PCIe"))
MANY_ROWS = replace(WORK, micro_batch_tokens=4 * WORK.micro_batch_tokens)


def plan_of_two() -> dict[str, Any]:
    """Return a plan whose first candidate is an A10, and whose second an H100 with four times the rows."""
    durations = estimate_durations(MANY_ROWS, H100)
    assert durations is not None
    cost = {"usd_by_phase": {"boot": {"expected": 0.1}, "train": {"expected": 0.7}}}
    second = {"work": asdict(MANY_ROWS), "durations": durations.to_mapping(), "cost": cost}
    machines = [{**A10_HERE, "forecast": estimate_of()}, {**H100_SPOT, "forecast": second}]
    return {"format": 2, "machines": machines}


def test_a_run_on_the_second_candidate_is_compared_with_the_second_candidates_estimate(tmp_path: Path) -> None:
    files = {"plan.json": plan_of_two(), "host.json": HOST}
    run = write_run(tmp_path / "r1", device=("cuda", "NVIDIA H100 PCIe"), changed=files)
    row, durations, settled = row_of(run), estimate_durations(MANY_ROWS, H100), settle(run)

    assert durations is not None
    assert settled is not None
    assert row.speed_ratio == pytest.approx(714.0 / durations.tokens_per_s.expected)
    assert row.table_seconds["train"] == pytest.approx(durations.seconds["train"].expected, rel=1e-3)
    assert planned_usd(run) == row.estimated_usd == {"boot": 0.1, "train": 0.7}
    assert settled.total.estimated_usd == pytest.approx(0.8)


def machine(**changed: Any) -> dict[str, Any]:
    return {**H100_SPOT, "price_usd_per_h": 2.0, **changed}


def with_forecasts(machines: list[Any]) -> dict[str, Any]:
    """Return a plan each of whose machines is foreseen to be of another price of its own."""
    told = [one | {"forecast": {"place": place}} if one else one for place, one in enumerate(machines)]
    return {"format": 2, "machines": told}


@pytest.mark.parametrize(
    ("machines", "host", "place"),
    [
        ([machine(spot=False), machine()], {}, 1),
        ([machine(instance_type="gpu_1x_a10"), machine()], {}, 1),
        ([machine(region="us-west-1"), machine(region="us-east-3")], {}, 1),
        ([machine(region="any"), machine(region="us-east-3")], {}, 1),
        ([machine(trust="community"), machine()], {"trust": "secure"}, 1),
        ([machine(trust="community", price_usd_per_h=1.2), machine()], {}, 1),
        ([machine(trust="community", price_usd_per_h=1.2), machine()], {"price_usd_per_h": 1.2}, 0),
        ([None, {}, machine(price_usd_per_h=None)], {}, 2),
    ],
)
def test_the_machine_is_known_by_its_kind_its_place_and_its_price(
    machines: list[Any], host: dict[str, Any], place: int
) -> None:
    assert forecast_for(with_forecasts(machines), HOST | host) == {"place": place}


@pytest.mark.parametrize("others", [[], [None, {}, "x"], [machine(region="us-west-1", forecast={"place": 1})]])
def test_a_machine_that_is_not_in_the_plan_has_the_estimate_of_the_first(others: list[Any]) -> None:
    first = {**A10_HERE, "forecast": {"place": 0}}

    assert forecast_for({"format": 2, "machines": [first, *others]}, HOST) == {"place": 0}


@pytest.mark.parametrize("machines", [None, "x", [], [None], [{}], [{"forecast": []}], [{"forecast": "x"}]])
def test_a_plan_without_an_estimate_expected_nothing(machines: Any) -> None:
    assert forecast_for({"format": 2, "machines": machines}, HOST) == {}


def plan_of_format_1(**changed: Any) -> dict[str, Any]:
    """Return a plan as it was kept before, of an A10 and an H100."""
    first, second = estimate_of() | A10_HERE, plan_of_two()["machines"][1]["forecast"] | H100_SPOT
    return {"estimate": first, "forecasts": [first, second], **changed}


def test_a_run_that_was_planned_in_format_1_is_compared_with_the_machine_that_was_rented() -> None:
    expected = plan_of_two()["machines"]

    for host, place in ((HOST, 1), (A10_HERE, 0)):
        found = forecast_for(lenient_plan(plan_of_format_1()), host)
        assert found.items() >= expected[place]["forecast"].items()


@pytest.mark.parametrize("forecasts", [None, "x", [], [None, {}]])
def test_a_plan_of_format_1_may_know_its_first_machine_alone(forecasts: Any) -> None:
    found = forecast_for(lenient_plan(plan_of_format_1(forecasts=forecasts)), HOST)

    assert found["work"] == estimate_of()["work"]


def test_an_older_plan_knows_the_work_of_its_first_candidate(tmp_path: Path) -> None:
    plan = plan_of_format_1()
    plan["forecasts"] = [{name: value for name, value in one.items() if name != "work"} for one in plan["forecasts"]]
    host = {**A10_HERE, "price_usd_per_h": 1.29}

    assert row_of(write_run(tmp_path / "r1", changed={"plan.json": plan, "host.json": host})).parameters is not None


def test_receipt_and_report_expect_the_same_dollars_with_interruptions_and_without_rounding(tmp_path: Path) -> None:
    extras = {"interruptions": {"expected": 0.3}, "rounding": {"expected": 0.01}, "disk": {"expected": 0.02}}
    estimate = estimate_of()
    estimate["cost"]["extras_usd"] = extras
    run = write_run(tmp_path / "r1", estimate=estimate)

    assert planned_usd(run)["interruptions"] == 0.3
    assert compare_with_actual(row_of(run))[-1].estimated_usd == pytest.approx(sum(planned_usd(run).values()))
    assert not {"rounding", "disk"} & set(planned_usd(run))


@pytest.mark.parametrize(
    ("train_tokens", "counts"),
    [(499_999, False), (500_000, True), (1_000_000, True), (2_000_000, True), (2_000_001, False)],
)
def test_evaluations_in_between_are_learnt_from_runs_of_about_the_same_length(
    tmp_path: Path, train_tokens: int, counts: bool
) -> None:
    estimate = estimate_of()
    estimate["work"]["train_tokens"] = 1_000_000
    row = row_of(write_run(tmp_path / "r1", estimate=estimate))

    assert row.train_factor is not None
    assert corrected([row], train_tokens=train_tokens).train_factors == ((row.train_factor,) if counts else ())
