"""A machine is struck once the training on it has got to the step, and no other machine is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.emulation.fault_table import FAULTS
from runner.rehearsal.at_step import AT_STEP, befall
from runner.run.run_dir import RunDir, create_run
from runner.world import RealWorld

BEGAN = datetime(2026, 11, 30, 4, tzinfo=UTC)


class Clouds:
    """Emulated clouds with these machines, which keep what they are sent."""

    def __init__(self, *machines: Mapping[str, Any]) -> None:
        usual = {"is_billing": True, "is_box_dead": False, "started_at": BEGAN.timestamp() - 60}
        self.machines = [{**usual, **machine} for machine in machines]
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, path: str, body: dict[str, Any]) -> None:
        self.sent.append((path, body))


def trained(folder: Path, *starts: int, began: datetime = BEGAN) -> RunDir:
    """Return a run whose trainer has started so often, and each time has got to this step."""
    run = create_run(folder, "tiny", BEGAN, RealWorld())
    events: list[dict[str, Any]] = []
    for last in starts:
        events.append({"event": "run_started", "time": began.isoformat()})
        events += [{"event": "step", "step": step} for step in range(1, last + 1)]
    (run.path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return run


def strike(action: str, args: dict[str, float], run: RunDir, clouds: Clouds) -> bool:
    return befall(f"{action}@step", args, run, clouds, clouds.machines)  # type: ignore[arg-type]


def struck(clouds: Clouds, run: RunDir, step: int) -> bool:
    return strike("spot_notice", {"step": step, "notice_s": 0.0}, run, clouds)


@pytest.mark.parametrize(
    ("action", "path"),
    [("spot_notice", "preempt"), ("box_killed", "kill"), ("box_stopped_outside", "stop"),
     ("box_deleted_in_console", "delete")],
)  # fmt: skip
def test_each_does_at_a_step_what_its_like_does_after_boot(action: str, path: str, tmp_path: Path) -> None:
    clouds = Clouds({"id": "i-1"})

    assert strike(action, {"step": 3}, trained(tmp_path, 3), clouds)

    assert clouds.sent == [(f"/machines/i-1/{path}", {})]
    assert AT_STEP[f"{action}@step"].fault in FAULTS


def test_a_notice_is_given_and_then_kept(tmp_path: Path) -> None:
    clouds = Clouds({"id": "i-1"})

    strike("spot_notice", {"step": 3, "notice_s": 120}, trained(tmp_path, 3), clouds)

    assert clouds.sent == [("/machines/i-1/notice", {"preempt_after_s": 120})]


def test_nothing_happens_before_the_step(tmp_path: Path) -> None:
    clouds = Clouds({"id": "i-1"})

    assert not struck(clouds, trained(tmp_path, 2), 3)
    assert clouds.sent == []


def test_a_run_that_has_never_trained_is_not_struck(tmp_path: Path) -> None:
    assert not struck(Clouds({"id": "i-1"}), trained(tmp_path), 1)


def test_what_an_earlier_start_has_trained_does_not_count(tmp_path: Path) -> None:
    assert not struck(Clouds({"id": "i-1"}), trained(tmp_path, 9, 2), 3)


@pytest.mark.parametrize(
    "machine",
    [{"is_billing": False}, {"is_box_dead": True}, {"started_at": BEGAN.timestamp() + 60}],
    ids=["ended", "vanished", "boots yet"],
)
def test_a_machine_that_does_not_train_is_not_struck(machine: dict[str, Any], tmp_path: Path) -> None:
    clouds = Clouds({"id": "i-1", **machine}, {"id": "i-2"})

    assert struck(clouds, trained(tmp_path, 3), 3)
    assert clouds.sent == [("/machines/i-2/preempt", {})]
