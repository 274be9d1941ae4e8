"""A step goes on by the run's own state; a boot by what bills, a training by its first step."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.rehearsal.moments import goes_on
from runner.rehearsal.store import kept_in_remote
from runner.run.run_dir import create_run
from runner.world import RealWorld
from trainer.checkpoints.complete import MANIFEST_NAME


@pytest.mark.parametrize(
    ("running", "step", "bills", "events", "does"),
    [
        ("configure", "configure", False, "", True),
        ("configure", "stage", False, "", False),
        ("provision", "boot", False, "", False),
        ("provision", "boot", True, "", True),
        ("train", "train", True, "", False),
        ("train", "train", True, '{"event": "step", "step": 1}\n', True),
        ("train", "store", True, '{"event": "step", "step": 1}\n', False),
        ("train", "store", True, '{"event": "checkpoint_stored", "step": 3}\n', True),
        ("collect", "store", True, '{"event": "checkpoint_stored", "step": 3}\n', False),
    ],
)
def test_a_step_goes_on(running: str, step: str, bills: bool, events: str, does: bool, tmp_path: Path) -> None:
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 29, tzinfo=UTC), RealWorld())
    (run.path / "state.json").write_text(json.dumps({"steps": {running: {"status": "running"}}}))
    (run.path / "events.jsonl").write_text(events)

    assert goes_on(run, step, lambda: bills, tmp_path) is does


@pytest.mark.parametrize(
    ("running", "step", "does"), [("train", "store", True), ("train", "train", False), ("collect", "store", False)]
)
def test_what_came_to_the_store_from_here_no_event_of_the_machine_says(
    running: str, step: str, does: bool, tmp_path: Path
) -> None:
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 29, tzinfo=UTC), RealWorld())
    (run.path / "state.json").write_text(json.dumps({"steps": {running: {"status": "running"}}}))
    manifest = kept_in_remote(tmp_path, run.run_id) / "checkpoints" / "checkpoint-3" / MANIFEST_NAME
    manifest.parent.mkdir(parents=True)
    assert not goes_on(run, "store", lambda: True, tmp_path)
    manifest.touch()

    assert goes_on(run, step, lambda: True, tmp_path) is does


def test_of_a_run_without_a_state_nothing_goes_on(tmp_path: Path) -> None:
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 29, tzinfo=UTC), RealWorld())

    assert not goes_on(run, "train", lambda: True, tmp_path)
