"""How long the runner follows and collects: hours and dollars, counted from the moment a machine was asked for."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.lifecycle.time_limit import hours_to_collect, hours_to_follow, hours_to_stage
from runner.run.journal import Journal
from runner.run.models import Host
from runner.run.run_dir import create_run, write_json
from runner.run.run_file import RunFile
from runner.simulation.world import VirtualWorld

HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 2.0, None, "lambda")


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


def test_a_machine_that_was_given_may_have_a_slow_line(tmp_path: Path) -> None:
    ctx = made(tmp_path, None, "local", max_hours=0.1)

    assert hours_to_follow(ctx) == pytest.approx(0.85)
    assert hours_to_stage(ctx) == math.inf
    assert hours_to_collect(ctx) == 24.0
