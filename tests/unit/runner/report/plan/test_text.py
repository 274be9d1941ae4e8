"""A plan for people, in lines of 100 columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.report.plan.choice import UNKNOWN
from runner.report.plan.text import plan_lines
from runner.run.planned import Elsewhere, Foreseen, MicroBatch, Plan, PlannedMachine
from tests.unit.runner.made_plan import MACHINE, made_plan

ELSEWHERE = Elsewhere(
    environment="runpod",
    gpu="A40",
    trust="secure",
    usd={"low": 0.01, "expected": 0.03, "high": 0.22},
    seconds={"low": 80.0, "expected": 300.0, "high": 1800.0},
    prices_as_of="2026-08-19",
    stale_days=101,
)


def lines(**changes: Any) -> list[str]:
    return plan_lines(made_plan(**changes), bills=True)


def foreseen(name: str = "A10", **changes: Any) -> Foreseen:
    """Return a run of two hours for two dollars."""
    seconds = {"low": 3600.0, "expected": 7200.0, "high": 14400.0}
    durations = {"total_s": seconds, "seconds_by_phase": {"train": seconds}, "basis": ["speed: measured"]}
    cost = {"total_usd": {"low": 1.0, "expected": 2.0, "high": 4.0}}
    values: dict[str, Any] = {"work": {}, "durations": durations, "cost": cost, "gpu_model": name}
    return Foreseen(name, gpu_memory_gib=24.0, needed_gib=10.0, fits=True, rows_that_fit=14, **values | changes)


def planned(**changes: Any) -> PlannedMachine:
    return replace(MACHINE, micro_batch=MicroBatch(2, 4096), **changes)


def test_a_plan_is_reported_in_its_order() -> None:
    assert lines(machines=(planned(forecast=foreseen()),), elsewhere=ELSEWHERE) == [
        "base model   meta-llama/Llama-3.1-8B",
        "estimate     2.0 h (60 min to 4.0 h), $2.00 ($1.00 to $4.00) on A10",
        "             train 2.0 h",
        "             speed: measured",
        "machines     rows  fit  time               dollars            $/h    machine",
        "             2     14   60 min to 4.0 h    1.00 to 4.00       1.29   gpu_1x_a10 in us-west-1",
        "elsewhere    $0.03 ($0.01 to $0.22), 1..30 min, with ENV=runpod on A40, prices of 2026-08-19 (stale,",
        "             101 days): `make compare`",
        "environment  lambda, 40.2 GiB of disk, gpu_1x_a10 in us-west-1 on demand at $1.29/h",
    ]


def test_rights_that_the_machine_has_of_its_own_are_reported() -> None:
    assert lines(own_rights="instance profile trainers")[-3:-1] == [
        "store        when nobody renews its keys, the machine opens the store with all rights of instance",
        "             profile trainers",
    ]
    assert lines(given_remotes=("drive", "safe"))[-3:-1] == [
        "store        the machine is given rclone's drive and safe of your configuration, in its memory:",
        "             whoever is root there can read what opens all of it",
    ]
    assert not any(line.startswith("store") for line in lines())


def ended(environment: str) -> list[str]:
    """Return the lines about the end of a plan whose second machine is the dearest."""
    first = planned(training_limit_h=2.0, hard_end_h=3.0, most_usd=4.5)
    second = planned(max_price_usd_per_h=9.0, training_limit_h=2.0, hard_end_h=2.5, most_usd=22.5)
    found = lines(environment=environment, machines=(first, second), most_usd=22.5, keep_idle_minutes=60.0)
    begin = next(number for number, line in enumerate(found) if line.startswith("at most"))
    return found[begin:-1]


def test_the_most_that_any_machine_may_cost_is_reported_with_its_end() -> None:
    assert ended("runpod") == [
        "at most      $22.50 (gpu_1x_a10 in us-west-1, the dearest) until its end after 2.5 h, its disk",
        "             included",
        "             training stops with a checkpoint after 2.0 h at the latest",
        "             left alone (DETACH=1, a closed terminal), it shuts down 60 min after its trainer has",
        "             ended: what is not home or in a store by then is lost",
    ]


def test_a_machine_that_cannot_end_itself_is_ended_by_its_guard_alone() -> None:
    said = " ".join(line.strip() for line in ended("lambda"))

    assert "its guard, while this computer is awake, terminates it 60 min after its trainer has ended" in said
    assert "it shuts down" not in said


def test_a_plan_of_before_there_were_ends_promises_none() -> None:
    assert not [line for line in lines() if line.startswith("at most")]


def test_a_machine_of_which_nothing_is_foreseen_is_reported_as_such() -> None:
    assert UNKNOWN in lines()
    assert UNKNOWN in lines(machines=(planned(forecast=foreseen(durations=None, cost=None)),))


def test_processors_have_no_row_in_the_table_of_machines() -> None:
    told = lines(machines=(planned(forecast=foreseen(gpu_model=None)),))

    assert told[1].endswith(" on its processors")
    assert not [line for line in told if line.startswith("machines")]


def test_memory_is_reported_by_part_but_for_crumbs() -> None:
    parts = {"base model, 4 bit": 3.61, "adapter": 0.04, "activations": 2.0}

    assert lines(machines=(planned(needed_gib_by_part=parts),))[1:3] == [
        "GPU memory   5.7 GiB for 2 x 4096 tokens in a micro-batch",
        "             3.6 base model, 4 bit; 2.0 activations",
    ]


def test_others_and_spot_are_reported_and_any_region_is_not() -> None:
    spot = replace(MACHINE, region="any", spot=True, price_usd_per_h=0.4)

    assert lines(machines=(spot, MACHINE))[-1].endswith("gpu_1x_a10 spot at $0.40/h, or 1 other(s)")


def test_a_strangers_machine_is_told() -> None:
    assert lines(machines=(replace(MACHINE, trust="community"),))[-1].endswith(
        "gpu_1x_a10 in us-west-1 community on demand at $1.29/h"
    )


def test_a_machine_of_ones_own_costs_nothing_and_nothing_is_estimated() -> None:
    own: Plan = made_plan(environment="local")

    assert plan_lines(own, bills=False) == [
        "base model   meta-llama/Llama-3.1-8B",
        "environment  local, 40.2 GiB of disk, $0.00",
    ]


def test_no_line_of_ours_is_wider_than_a_hundred_columns() -> None:
    parts = {f"part of some length {number}": 1.0 for number in range(12)}
    name = "NVIDIA RTX 6000 Ada Generation of a very long name"
    long = planned(instance_type=name, region="somewhere-far", needed_gib_by_part=parts)

    told = lines(machines=(long, long), elsewhere=replace(ELSEWHERE, gpu=name, environment="so-far-away"))

    assert max(map(len, told)) <= 100


@pytest.mark.parametrize(
    ("environment", "status", "is_shown"),
    [("lambda", "warn", True), ("lambda", "pass", False), ("runpod", "warn", False)],
)
def test_what_a_lost_machine_costs_is_shown_where_nothing_terminates_it(
    environment: str, status: str, is_shown: bool
) -> None:
    line = {"name": "ends by itself", "status": status, "value": "-", "remedy": ""}

    shown = [text for text in lines(environment=environment, checks=(line,)) if text.startswith("if lost")]

    assert [text.startswith("if lost      up to $36.00 a day until") for text in shown] == [True] * is_shown
