"""What is said once in the life of a run is said once, whoever drives it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.run.run_dir import RunDir, create_run
from runner.run.said_once import NAME, forget_guard, is_first_time, note_said_by_guard, was_said_by_guard
from runner.world import RealWorld


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return create_run(tmp_path, "tiny", datetime(2026, 11, 29, tzinfo=UTC), RealWorld({}))


def test_each_is_said_once(run: RunDir) -> None:
    again = RunDir(run.path, RealWorld({}))

    assert [is_first_time(one, what) for what in ("a", "b") for one in (run, again)] == [True, False, True, False]


def test_a_damaged_file_and_a_full_disk_hide_nothing(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    run.file(NAME).write_bytes(b"\x00")

    assert is_first_time(run, "a")

    def full(path: Path, content: bytes, mode: int | None = None) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run.world.disk, "write", full)

    assert is_first_time(run, "b")


def test_what_a_guard_has_said_is_forgotten_and_what_is_said_once_is_not(run: RunDir) -> None:
    assert is_first_time(run, "first_step")
    note_said_by_guard(run, "failed")
    before = [was_said_by_guard(run, event) for event in ("failed", "terminated")]

    forget_guard(run)

    assert before == [True, False]
    assert not was_said_by_guard(run, "failed")
    assert not is_first_time(run, "first_step")
