"""A run's beginning, as its ``state.json`` has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.lifecycle import drive as lifecycle
from runner.run.planned import Plan
from runner.run.run_file import RunFile
from runner.run.state import RunState
from runner.world import RealWorld
from tests.unit.runner.made_plan import made_plan

CHECK_S = 1.2
"""Longer than the second that ``state.json`` counts in."""


def plan_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch, check: Callable[..., Plan]) -> Context:
    monkeypatch.setattr(lifecycle.plan, "check", check)
    monkeypatch.setattr(lifecycle.plan, "write_down", lambda ctx, found: None)
    world = RealWorld()
    run_file = RunFile.model_validate({"data": {"train_path": "x"}})
    return lifecycle.new_run(run_file, folder, SilentView(), Stop(world), world, is_dry=True)


def test_planning_begins_before_its_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[datetime] = []

    def check(*arguments: object, **options: object) -> Plan:
        checked.append(datetime.now(UTC))
        time.sleep(CHECK_S)
        return made_plan(environment="local")

    ctx = plan_a_run(tmp_path, monkeypatch, check)

    step: dict[str, Any] = RunState(ctx.run).steps["plan"]
    began, ended = (datetime.fromisoformat(step[name]) for name in ("started_at", "ended_at"))
    assert began <= checked[0]
    assert (ended - began).total_seconds() >= int(CHECK_S)
    assert step["duration_s"] >= CHECK_S


def test_the_day_that_a_template_writes_is_that_of_planning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days: list[date | None] = []

    def check(run_file: RunFile, *arguments: object, **options: object) -> Plan:
        days.append(run_file.data.template_date)
        return made_plan(environment="local")

    ctx = plan_a_run(tmp_path, monkeypatch, check)

    planned = datetime.fromisoformat(RunState(ctx.run).steps["plan"]["started_at"]).date()
    assert days == [planned]
    assert ctx.run_file.data.template_date == planned
