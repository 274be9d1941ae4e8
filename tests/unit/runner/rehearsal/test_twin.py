"""A second run beside the first: begun once, in its second, and judged by how both ended."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.rehearsal import twin
from runner.rehearsal.twin import Twin, runs_of_twin
from runner.run.run_dir import RunDir, create_run
from runner.world import RealWorld


class Child:
    """A second run that ends with this status."""

    def __init__(self, status: int) -> None:
        self.status, self.is_killed = status, False

    def wait(self, timeout_s: float) -> int:
        return self.status

    def kill(self) -> None:
        self.is_killed = True


class Clouds:
    """Emulated clouds, as far as a second run needs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def environment(self) -> dict[str, str]:
        return {"LAMBDA_API_KEY": "x"}


@pytest.fixture
def first(tmp_path: Path) -> RunDir:
    return create_run(tmp_path / "runs", "tiny", datetime(2026, 11, 29, 2, 30, 15, tzinfo=UTC), RealWorld())


def begun(folder: Path, monkeypatch: pytest.MonkeyPatch, status: int = 0) -> tuple[Twin, list[list[str]]]:
    started: list[list[str]] = []

    def start(argv: list[str], **options: Any) -> Child:
        started.append(argv)
        return Child(status)

    monkeypatch.setattr(twin.process, "start", start)
    return Twin("runner", Clouds(folder), ["--env", "lambda"]), started  # type: ignore[arg-type]


def test_it_begins_once_in_the_second_of_the_first(
    first: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, started = begun(tmp_path, monkeypatch)

    assert (one.begin(first), one.begin(first)) == (True, False)

    (argv,) = started
    assert argv[2:6] == [twin.LAUNCHER, "2026-11-29T02:30:15+00:00", str(runs_of_twin(tmp_path)), "runner"]
    assert argv[6:] == ["train", "--runs-dir", str(runs_of_twin(tmp_path)), "--env", "lambda", "--yes"]


@pytest.mark.parametrize(
    ("first_status", "other", "is_broken"), [(0, 0, False), (1, 0, True), (0, 1, True), (0, 3, True)]
)
def test_both_have_to_end_well(
    first_status: int, other: int, is_broken: bool, first: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = begun(tmp_path, monkeypatch, other)
    one.begin(first)

    said = [f"of two runs of one second the first ended with exit status {first_status}, the other with {other}"]
    assert one.broken(first_status) == (said if is_broken else [])


def test_without_one_nothing_is_said_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = begun(tmp_path, monkeypatch)

    assert one.broken(1) == []
    one.close()


def test_it_ends_with_the_rehearsal(first: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = begun(tmp_path, monkeypatch)
    one.begin(first)

    one.close()

    assert one._child is not None
    assert one._child.is_killed  # type: ignore[attr-defined]
