"""A run's beginning, as its ``state.json`` has it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.lifecycle import drive as lifecycle
from runner.run.planned import Plan
from runner.run.run_file import RunFile
from runner.run.state import RunState
from runner.world import RealWorld
from tests.unit.runner.made_plan import made_plan

CHECK_S = 1.2
"""Longer than the second that ``state.json`` counts in."""


def test_planning_begins_before_its_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[datetime] = []

    def check(*arguments: object, **options: object) -> Plan:
        checked.append(datetime.now(UTC))
        time.sleep(CHECK_S)
        return made_plan(environment="local")

    monkeypatch.setattr(lifecycle.plan, "check", check)
    monkeypatch.setattr(lifecycle.plan, "write_down", lambda ctx, found: None)
    world = RealWorld()
    run_file = RunFile.model_validate({"data": {"train_path": "x"}})

    ctx = lifecycle.new_run(run_file, tmp_path, SilentView(), Stop(world), world, is_dry=True)

    step: dict[str, Any] = RunState(ctx.run).steps["plan"]
    began, ended = (datetime.fromisoformat(step[name]) for name in ("started_at", "ended_at"))
    assert began <= checked[0]
    assert (ended - began).total_seconds() >= int(CHECK_S)
    assert step["duration_s"] >= CHECK_S
