"""How long the runner follows and collects: hours and dollars, counted from the moment a machine was asked for."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.adapters.terraform import VARIABLES_FILE
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.lifecycle.time_limit import hours_to_collect, hours_to_follow, hours_to_stage, hours_to_train
from runner.run.journal import Journal
from runner.run.models import Host
from runner.run.planned import PlannedMachine
from runner.run.run_dir import create_run, write_json
from runner.run.run_file import RunFile
from runner.simulation.world import VirtualWorld
from tests.unit.runner.made_plan import made_plan

HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 2.0, None, "lambda")

PLANNED = PlannedMachine("gpu_1x_a10", "us-west-1", False, 2.0, 2.0)


def made(tmp_path: Path, hours_ago: float | None, env: str = "lambda", **budget: Any) -> Context:
    """Return a run whose machine, if it has rented one, was asked for so long ago."""
    world = VirtualWorld()
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 28, tzinfo=UTC), world)
    if hours_ago is not None:
        write_json(run.host, HOST.to_mapping())
        Journal(run).intent("provision", run_id=run.run_id)
        world.sleep(timedelta(hours=hours_ago).total_seconds())
    values = {"data": {"train_path": "x"}, "compute": {"env": env}, "budget": budget}
    return Context(run, RunFile.model_validate(values), SilentView(), Stop(world), world)


@pytest.mark.parametrize(
    ("hours_ago", "budget", "follow_h", "collect_h"),
    [
        (None, {"max_hours": 2.0}, 2.75, 3.0),
        (0.5, {"max_hours": 2.0}, 2.25, 2.5),
        (2.75, {"max_hours": 2.0}, 0.0, 0.25),
        (9.0, {"max_hours": 2.0}, -6.25, 0.25),
        (0.5, {"max_hours": 2.0, "max_usd": 3.0}, 1.0, 2.5),
        (0.5, {"max_hours": 2.0, "max_usd": 30.0}, 2.25, 2.5),
    ],
)
def test_the_limits_count_from_the_moment_a_machine_was_asked_for(
    tmp_path: Path, hours_ago: float | None, budget: dict[str, float], follow_h: float, collect_h: float
) -> None:
    ctx = made(tmp_path, hours_ago, **budget)

    assert hours_to_follow(ctx) == pytest.approx(follow_h, abs=0.01)
    assert hours_to_collect(ctx) == pytest.approx(collect_h, abs=0.01)
    assert hours_to_stage(ctx) == hours_to_follow(ctx)


def ending(ctx: Context, machine: PlannedMachine, in_h: float) -> Context:
    """Let a run's machine be planned as this one, and be over in so many hours."""
    ctx.keep_plan(made_plan(machines=(machine,)))
    ctx.run.terraform.mkdir(parents=True)
    ends = ctx.world.now() + timedelta(hours=in_h)
    candidate = machine.to_variable() | {"expires_at": ends.isoformat()}
    write_json(ctx.run.terraform / VARIABLES_FILE, {"candidates": [candidate], "expires_at": ends.isoformat()})
    return ctx


@pytest.mark.parametrize(
    ("in_h", "train_h", "follow_h", "collect_h"),
    [(3.5, 3.0, 3.25, 3.5), (2.0, 1.9, 2.0, 2.0), (0.05, 0.01, 0.05, 0.25)],
    ids=["by-the-forecast", "by-the-money", "over"],
)
def test_a_run_trains_and_is_followed_no_longer_than_its_planned_machine_lasts(
    tmp_path: Path, in_h: float, train_h: float, follow_h: float, collect_h: float
) -> None:
    """What the server ends, the trainer has to have saved before."""
    ctx = ending(made(tmp_path, 0.5), replace(PLANNED, training_limit_h=3.0, hard_end_h=4.0), in_h)

    assert hours_to_train(ctx) == pytest.approx(train_h, abs=0.01)
    assert hours_to_follow(ctx) == pytest.approx(follow_h, abs=0.01)
    assert hours_to_collect(ctx) == pytest.approx(collect_h, abs=0.01)


def test_a_plan_of_before_there_were_ends_trains_as_long_as_its_run_file_says(tmp_path: Path) -> None:
    assert hours_to_train(ending(made(tmp_path / "a", 0.5, max_hours=24.0), PLANNED, 24.5)) == pytest.approx(24.0)
    assert hours_to_train(ending(made(tmp_path / "b", 0.5), PLANNED, 24.5)) == pytest.approx(24.0)


def test_the_shortest_of_hours_and_dollars_ends_training(tmp_path: Path) -> None:
    machine = replace(PLANNED, training_limit_h=3.0, hard_end_h=4.0)

    dollars = ending(made(tmp_path, 0.5, max_usd=3.0), machine, 3.5)

    assert hours_to_train(dollars) == pytest.approx(1.0 - 0.1, abs=0.01)


def test_a_damaged_plan_keeps_no_result_from_coming_home(tmp_path: Path) -> None:
    ctx = made(tmp_path, 0.5, max_hours=2.0)
    ctx.run.file("plan.json").write_bytes(b"{")

    assert hours_to_collect(ctx) == pytest.approx(2.5, abs=0.01)


def test_on_a_machine_of_ones_own_training_has_no_end_unless_the_run_file_sets_one(tmp_path: Path) -> None:
    endless = made(tmp_path / "a", None, "local")

    assert hours_to_train(endless) == math.inf
    assert hours_to_follow(endless) == math.inf
    assert hours_to_train(made(tmp_path / "b", None, "local", max_hours=0.5, max_usd=1.0)) == 0.5


def test_a_machine_that_was_given_may_have_a_slow_line(tmp_path: Path) -> None:
    ctx = made(tmp_path, None, "local", max_hours=0.1)

    assert hours_to_follow(ctx) == pytest.approx(0.85)
    assert hours_to_stage(ctx) == math.inf
    assert hours_to_collect(ctx) == 24.0
