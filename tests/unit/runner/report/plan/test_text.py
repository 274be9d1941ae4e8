"""A plan for people, in lines of 100 columns."""

from __future__ import annotations

from typing import Any

from runner.report.plan.text import plan_lines
from runner.run.models import MicroBatch, Plan, SampleCounts

CANDIDATE = {"instance_type": "gpu_1x_a10", "region": "us-west-1", "spot": False, "max_price_usd_per_h": 1.5}


def made(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "environment": "lambda",
        "base_model": "meta-llama/Llama-3.1-8B",
        "model_files": None,
        "model_bytes": 0,
        "samples": SampleCounts(1, 1),
        "data": {},
        "data_table": "the data\n",
        "disk_needed_gib": 40.25,
        "terraform": "",
        "candidates": [CANDIDATE],
        "prices_usd_per_h": [1.29],
    }
    return Plan(**values | changes)


def test_a_plan_is_told_in_its_order() -> None:
    assert plan_lines(made(estimate_lines=["estimate     2 h"])) == [
        "the data",
        "base model   meta-llama/Llama-3.1-8B",
        "estimate     2 h",
        "environment  lambda, 40.2 GiB of disk, gpu_1x_a10 in us-west-1 on demand at 1.29 $/h",
    ]


def test_memory_is_told_by_part_but_for_crumbs() -> None:
    parts = {"base model, 4 bit": 3.61, "adapter": 0.04, "activations": 2.0}

    assert plan_lines(made(gpu_memory_gib=parts, micro_batch=MicroBatch(2, 4096)))[2:4] == [
        "GPU memory   5.7 GiB for 2 x 4096 tokens at once",
        "             3.6 base model, 4 bit; 2.0 activations",
    ]


def test_others_and_spot_are_told_and_any_region_is_not() -> None:
    spot = CANDIDATE | {"region": "any", "spot": True}

    assert plan_lines(made(candidates=[spot, CANDIDATE], prices_usd_per_h=[0.4, 1.29]))[-1].endswith(
        "gpu_1x_a10 spot at 0.40 $/h, or 1 other(s)"
    )


def test_a_strangers_machine_is_told() -> None:
    assert plan_lines(made(candidates=[CANDIDATE | {"trust": "community"}]))[-1].endswith(
        "gpu_1x_a10 in us-west-1 community on demand at 1.29 $/h"
    )


def test_a_machine_of_ones_own_costs_nothing() -> None:
    assert plan_lines(made(environment="local"))[-1] == "environment  local, 40.2 GiB of disk, 0.00 $"


def test_no_line_of_ours_is_wider_than_a_hundred_columns() -> None:
    parts = {f"part of some length {number}": 1.0 for number in range(12)}
    long = CANDIDATE | {
        "instance_type": "NVIDIA RTX 6000 Ada Generation of a very long name",
        "region": "somewhere-far",
    }

    estimate = ["elsewhere    " + "so many words that they need a second line " * 3]
    told = plan_lines(
        made(gpu_memory_gib=parts, candidates=[long, long], prices_usd_per_h=[1, 1], estimate_lines=estimate)
    )

    assert max(map(len, told)) <= 100


def test_columns_of_the_estimate_stay_where_they_are() -> None:
    row = "             2     14   4 min to 15 min    0.06 to 0.17       0.69   gpu_1x_rtx6000"

    assert row in plan_lines(made(estimate_lines=[row]))
