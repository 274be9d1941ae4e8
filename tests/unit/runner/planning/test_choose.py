"""Which machines a run tries: what fits, what is allowed, and what the whole run is expected to cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.cli.terminal import SilentView
from runner.cloud_api import address
from runner.cloud_api.models import Account, Listing, Offer
from runner.errors import NoCapacityError, UsageError
from runner.lifecycle.steps import plan
from runner.planning.choose import Choice, choose
from runner.planning.ends import BudgetError
from runner.planning.estimate.fit import DoesNotFitError
from runner.planning.estimate.forecast import make_task
from runner.planning.estimate.model_shape import shape_of
from runner.planning.market import Market
from runner.report.plan.choice import choice_lines
from runner.run.planned import MicroBatch
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import thing
from tests.unit.runner.planning.estimate.test_model_shape import LLAMA_8B

A10 = Offer("gpu_1x_a10", "us-west-1", False, 0.75, "A10", 1, 24.0, available=True)
H100 = Offer("gpu_1x_h100_sxm5", "us-west-1", False, 2.49, "H100 SXM", 1, 80.0, available=True)
TOY = Offer("toy", "us-west-1", False, 0.10, "Quadro RTX 6000", 1, 24.0, available=True)
UNKNOWN = Offer("new", "us-west-1", False, 0.01, "X9000", 1, 24.0, available=True)
DATA = {"train_tokens": 20_000_000, "train_samples": 40_000, "eval_tokens": 10_000, "eval_samples": 20}


def rented(limit_usd: float | None = None, **compute: Any) -> RunFile:
    return RunFile.model_validate(
        {"data": {"train_path": "x"}, "compute": {"env": "lambda", **compute}, "budget": {"max_usd": limit_usd}}
    )


def pick(offers: list[Offer], run_file: RunFile | None = None, **changes: Any) -> Choice:
    """Choose for an 8B model with 20 million tokens."""
    chosen = run_file or rented()
    shape = shape_of(LLAMA_8B | changes)
    task = make_task(chosen, shape, DATA, model_bytes=0, staged_bytes=0, data_bytes=0)
    return choose(chosen, offers, task, disk_needed_gib=1.0)


def names(choice: Choice) -> list[str]:
    return [machine.instance_type for machine in choice.machines]


def test_what_is_listed_is_tried_at_its_price() -> None:
    found = choose(rented(), [A10], None, disk_needed_gib=1.0)

    assert [machine.to_variable() for machine in found.machines] == [
        {"instance_type": "gpu_1x_a10", "region": "us-west-1", "spot": False, "max_price_usd_per_h": 0.75}
    ]
    assert found.forecast is None
    assert choice_lines(found.machines) == [
        "estimate     none: no speed of this GPU, or no shape of this base model, is known"
    ]


def test_what_is_too_dear_or_too_small_is_not_tried() -> None:
    with pytest.raises(NoCapacityError):
        choose(rented(max_price_usd_per_h=0.5), [A10], None, disk_needed_gib=1.0)
    with pytest.raises(NoCapacityError):
        choose(rented(), [replace(A10, gpu_memory_gib=8.0)], None, disk_needed_gib=1.0)


def test_a_faster_gpu_that_makes_the_run_cheaper_goes_first() -> None:
    """The other is a little cheaper by the hour, and takes almost twice as long."""
    slow = replace(A10, instance_type="slow", gpu_name="RTX A4000", price_usd_per_h=0.7)

    assert names(pick([slow, A10])) == ["gpu_1x_a10", "slow"]
    assert names(choose_by_price([slow, A10])) == ["slow", "gpu_1x_a10"]


def choose_by_price(offers: list[Offer]) -> Choice:
    return choose(rented(), offers, None, disk_needed_gib=1.0)


@pytest.mark.parametrize("uncertain", [TOY, UNKNOWN])
def test_a_gpu_without_bfloat16_and_one_of_unknown_speed_go_last_however_cheap(uncertain: Offer) -> None:
    free = replace(uncertain, price_usd_per_h=0.0001)

    assert names(pick([free, H100, A10]))[-1] == uncertain.instance_type
    assert names(choose_by_price([free, H100, A10]))[-1] == uncertain.instance_type


def test_a_run_that_waits_has_machines_to_try_where_none_can_be_had_now() -> None:
    full = replace(A10, region="any", available=False)

    with pytest.raises(NoCapacityError):
        choose(rented(), [full], None, disk_needed_gib=1.0)
    found = choose(rented(wait_minutes=30, regions=["us-west-1"]), [full], None, disk_needed_gib=1.0).machines
    assert [(one.instance_type, one.region) for one in found] == [("gpu_1x_a10", "us-west-1")]
    assert found[0].most_usd is not None  # so that the question names it before the wait


def test_a_gpu_goes_by_its_price_alone_where_none_is_asked_for() -> None:
    assert names(choose(rented(gpu_required=False), [TOY, A10], None, disk_needed_gib=1.0))[0] == "toy"


@pytest.mark.parametrize("gpu", ["Tesla V100", "Tesla V100-PCIE-32GB", "Tesla P100-PCIE-16GB", "MI300X"])
def test_a_gpu_for_which_there_is_no_pytorch_is_not_tried(gpu: str) -> None:
    old = Offer("old", "us-west-1", False, 0.01, gpu, 1, 32.0, available=True)

    assert names(pick([old, A10])) == ["gpu_1x_a10"]
    assert names(choose_by_price([old, A10])) == ["gpu_1x_a10"]


def test_naming_a_gpu_for_which_there_is_no_pytorch_is_refused() -> None:
    old = Offer("old", "us-west-1", False, 0.01, "Tesla V100", 1, 16.0, available=True)

    with pytest.raises(UsageError, match=r"old: Tesla V100 has compute capability 7, Douse needs 7.5") as refused:
        pick([old, A10], rented(instance_types=["old"]))
    assert "compute.instance_types" in refused.value.resolution
    assert names(pick([old, A10], rented(instance_types=["old", "gpu_1x_a10"]))) == ["gpu_1x_a10"]


def test_a_gpu_without_bfloat16_is_not_tried_for_a_run_that_insists_on_it() -> None:
    insists = {"data": {"train_path": "x"}, "model": {"dtype": "bfloat16"}, "compute": {"env": "lambda"}}
    named = insists | {"compute": {"env": "lambda", "instance_types": ["toy"]}}

    assert names(pick([TOY, A10], RunFile.model_validate(insists))) == ["gpu_1x_a10"]
    with pytest.raises(UsageError, match=r"toy: Quadro RTX 6000 does not compute in bfloat16") as refused:
        pick([TOY, A10], RunFile.model_validate(named))
    assert "model.dtype" in refused.value.resolution


def test_a_model_that_only_an_old_gpu_could_hold_does_not_fit() -> None:
    old = Offer("old", "us-west-1", False, 0.01, "Tesla V100", 1, 640.0, available=True)

    with pytest.raises(DoesNotFitError, match="and the largest here, A10, has 24 GiB"):
        pick([old, A10], num_hidden_layers=320)


def test_a_gpu_that_the_run_does_not_fit_is_not_tried() -> None:
    small = replace(A10, instance_type="tiny", gpu_memory_gib=8.0)

    assert names(pick([small, A10], rented(min_gpu_memory_gib=0))) == ["gpu_1x_a10"]


def test_a_gpu_without_bfloat16_holds_what_one_with_it_does() -> None:
    """It trains in float16, in as many bytes."""
    old = Offer("old", "us-west-1", False, 0.10, "T4", 1, 10.0, available=True)

    assert names(pick([old, A10], rented(min_gpu_memory_gib=0))) == ["gpu_1x_a10", "old"]


def test_a_run_that_fits_no_gpu_is_refused() -> None:
    with pytest.raises(DoesNotFitError, match="and the largest here, A10, has 24 GiB"):
        pick([A10], num_hidden_layers=320)


def test_a_wanted_kind_that_is_too_small_is_reported_though_others_are_not() -> None:
    with pytest.raises(DoesNotFitError, match="and the largest here, A10, has 24 GiB"):
        pick([A10, H100], rented(instance_types=["gpu_1x_a10"]), num_hidden_layers=160)


def test_a_budget_below_the_cheapest_is_refused_before_anything_is_rented() -> None:
    poor = RunFile.model_validate(
        {"data": {"train_path": "x"}, "compute": {"env": "lambda"}, "budget": {"max_usd": 0.02}}
    )

    with pytest.raises(BudgetError, match=r"budget\.max_usd is 0\.02, and the cheapest machine, gpu_1x_a10"):
        pick([A10], poor)


def test_a_machine_on_which_the_run_would_break_its_budget_is_not_tried_when_the_first_is_taken() -> None:
    """What cannot be finished there within the budget would be stopped in the middle, and the money gone."""
    cheap, dear = replace(A10, price_usd_per_h=0.2), replace(H100, price_usd_per_h=9.0)
    everything = pick([cheap, dear])
    limit_usd = everything.forecasts[0].usd * 2

    kept = pick([cheap, dear], rented(limit_usd=limit_usd))

    assert names(everything) == ["gpu_1x_a10", "gpu_1x_h100_sxm5"]
    assert everything.forecasts[1].usd > limit_usd
    assert names(kept) == ["gpu_1x_a10"]


def test_a_named_machine_over_the_budget_is_reported_as_such_and_not_as_a_wrong_name() -> None:
    dear = replace(H100, price_usd_per_h=900.0)

    with pytest.raises(BudgetError, match="the cheapest machine, gpu_1x_h100_sxm5 in us-west-1, may cost up to"):
        pick([A10, dear], rented(instance_types=["gpu_1x_h100_sxm5"], limit_usd=20.0))


def test_an_arm_machine_is_taken_only_where_it_is_named() -> None:
    arm = Offer("gpu_1x_gh200", "us-west-1", False, 0.01, "GH200", 1, 96.0, available=True)

    assert names(pick([arm, A10])) == ["gpu_1x_a10"]
    assert names(pick([arm, A10], rented(instance_types=["gpu_1x_gh200"]))) == ["gpu_1x_gh200"]


def test_a_run_whose_rows_are_chosen_here_fits_where_it_does_with_one_row() -> None:
    """One row that is not packed needs no mask; several do."""
    long = {"data": {"train_path": "x", "packing": False, "max_length": 16_384}, "compute": {"env": "lambda"}}
    small = replace(A10, gpu_memory_gib=20.0)
    one = RunFile.model_validate(long | {"training": {"per_device_train_batch_size": 1}})

    for run_file in (one, RunFile.model_validate(long)):
        (found,) = pick([small], run_file).forecasts
        assert (found.micro_batch_rows, found.fits) == (1, True)


def test_the_estimate_is_reported_and_kept() -> None:
    found = pick([A10])
    kept = found.machines[0].forecast

    assert kept is not None
    assert choice_lines(found.machines)[0].startswith("estimate     ")
    assert choice_lines(found.machines)[0].endswith("on A10")
    assert "boot 4 min" in choice_lines(found.machines)[1]
    assert kept.durations is not None
    assert kept.cost is not None
    assert (kept.gpu, kept.gpu_model, kept.fits, kept.rows_that_fit > 0) == ("A10", "A10", True, True)
    assert kept.work["parameters"] == 8_030_261_248


def test_each_machine_is_told_with_its_rows_its_time_and_its_dollars() -> None:
    found = pick([A10, H100])
    head, *machines = choice_lines(found.machines)[-3:]

    assert head.split() == ["machines", "rows", "fit", "time", "dollars", "$/h", "machine"]
    assert [line.split()[-3] for line in machines] == names(found)
    assert [int(line.split()[1]) for line in machines] == [one.rows for one in found.forecasts]
    assert max(map(len, choice_lines(found.machines))) <= 100


def test_what_the_first_machine_needs_is_for_the_rows_chosen_there() -> None:
    found = pick([H100], rented_rows(gradient_accumulation_steps=16))

    assert found.forecast is not None
    assert found.need is not None
    assert found.need.rows == found.forecast.micro_batch_rows > 1
    assert found.need.gpu_gib == found.forecast.needed_gib
    assert found.machines[0].micro_batch == MicroBatch(found.need.rows, row_tokens=256)
    assert found.machines[0].needed_gib_by_part == pytest.approx(dict(found.need.parts_gib), abs=0.001)


def test_each_machine_is_planned_with_its_own_rows_and_memory() -> None:
    """The A10 has room for fewer rows than the H100 computes fastest with."""
    found = pick([A10, H100], rented_rows(gradient_accumulation_steps=16))

    rows = {one.instance_type: one.micro_batch.rows for one in found.machines if one.micro_batch is not None}
    needed_gib = {one.instance_type: sum((one.needed_gib_by_part or {}).values()) for one in found.machines}
    assert rows == {one.offer.instance_type: one.micro_batch_rows for one in found.forecasts}
    assert rows["gpu_1x_a10"] < rows["gpu_1x_h100_sxm5"]
    assert needed_gib["gpu_1x_a10"] < needed_gib["gpu_1x_h100_sxm5"]


def test_the_same_kind_in_two_regions_is_two_machines_with_a_forecast_each() -> None:
    """Of a kind that is dearer in one region, each region has its own price and its own dollars."""
    dear = replace(A10, region="us-east-1", price_usd_per_h=1.5)

    found = pick([dear, A10])

    assert [(one.region, one.price_usd_per_h) for one in found.machines] == [("us-west-1", 0.75), ("us-east-1", 1.5)]
    first, second = (one.forecast for one in found.machines)
    assert first is not None
    assert second is not None
    assert first.cost is not None
    assert second.cost is not None
    assert first.cost["total_usd"]["expected"] < second.cost["total_usd"]["expected"]


def rented_rows(**training: Any) -> RunFile:
    """Ask for short rows."""
    return RunFile.model_validate(
        {"data": {"train_path": "x", "max_length": 256}, "compute": {"env": "lambda"}, "training": training}
    )


class Words(SilentView):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def test_what_bills_already_is_reported_before_more_is_rented() -> None:
    view = Words()

    plan._show_what_is_there(Market([A10], Account("lambda", "test"), Listing([thing()])), view)

    assert view.lines[0] == "existing     instance i-1 of run 20261121-015500-tiny, $1.00/h"
    assert "make sweep" in view.lines[1]


def test_prices_from_a_list_are_reported() -> None:
    view = Words()

    plan._show_what_is_there(Market([A10], remark="lambda cannot be reached; prices are old"), view)

    assert view.lines == ["offline      lambda cannot be reached; prices are old"]


def test_a_dry_plan_asks_nobody_for_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "public_address_cidr", lambda environ: "203.0.113.7/32")
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "aws"}})

    assert plan._ingress(run_file, RealWorld({})) == ["203.0.113.7/32"]
    assert plan._ingress(run_file, RealWorld({}), is_dry=True) == []


def test_a_given_machine_is_the_only_one() -> None:
    run_file = RunFile.model_validate({"data": {"train_path": "x"}})

    assert plan._given_machine(run_file).instance_type == "this-machine"
