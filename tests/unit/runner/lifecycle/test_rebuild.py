"""Rebuild: two environments are the same, or it is told where they differ; the machines are given back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.cli import parser as cli
from runner.cli.session import Session
from runner.context import Context
from runner.errors import EXIT_DONE, EXIT_FAILED, ToolError, TrainingFailedError
from runner.lifecycle import drive as lifecycle
from runner.lifecycle.drive import Outcome
from runner.lifecycle.rebuild import compare
from runner.run.run_dir import RunDir, create_run, write_json
from runner.world import RealWorld

FACTS = {"environment_digest": "sha256:1", "environment_packages": ["torch==2.13.0", "trl==1.16.0"], "python": "3.11.9"}


@pytest.fixture
def runs(tmp_path: Path) -> tuple[RunDir, RunDir]:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    first, second = (create_run(tmp_path / "runs", "tiny", now, RealWorld()) for _ in range(2))
    for run in (first, second):
        write_json(run.file("host_facts.json"), FACTS)
    return first, second


def test_equal_facts_are_equal(runs: tuple[RunDir, RunDir]) -> None:
    found = compare(*runs)

    assert (found.equal, found.digests, found.differences) == (True, ("sha256:1", "sha256:1"), [])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"environment_digest": "sha256:2"}, []),
        (
            {"environment_packages": ["torch==2.13.0", "trl==1.15.0"]},
            ["only on the first: trl==1.16.0", "only on the second: trl==1.15.0"],
        ),
        ({"environment_packages": ["torch==2.13.0"]}, ["only on the first: trl==1.16.0"]),
        ({"python": "3.12.1"}, ["Python 3.11.9 on the first, 3.12.1 on the second"]),
    ],
)
def test_what_differs_is_reported(runs: tuple[RunDir, RunDir], changes: dict[str, Any], told: list[str]) -> None:
    write_json(runs[1].file("host_facts.json"), FACTS | changes)

    found = compare(*runs)

    assert (found.equal, found.differences) == (False, told)


@pytest.mark.parametrize("facts", [None, {}, {"environment_digest": None, "environment_packages": []}])
def test_two_unknown_environments_are_not_equal(runs: tuple[RunDir, RunDir], facts: dict[str, Any] | None) -> None:
    for run in runs:
        run.file("host_facts.json").unlink()
        if facts is not None:
            write_json(run.file("host_facts.json"), facts)

    with pytest.raises(ToolError, match="does not list its environment"):
        compare(*runs)


class Builds:
    """Stands for the building of an environment; counts, and does what it is told."""

    def __init__(self, facts: list[dict[str, Any]], *, fails: bool = False) -> None:
        self.facts, self.fails, self.count = facts, fails, 0

    def new_run(self, run_file: object, runs_dir: Path, view: Any, stop: Any, world: Any) -> Context:
        run = create_run(runs_dir, "tiny", datetime(2026, 11, 21, tzinfo=UTC), RealWorld())
        return Context(run, run_file, view, stop, world)  # type: ignore[arg-type] - not read

    def build(self, ctx: Context) -> Outcome:
        write_json(ctx.run.file("host_facts.json"), self.facts[self.count])
        self.count += 1
        error = TrainingFailedError("configure: no", resolution="look") if self.fails else None
        return Outcome(ctx.run, error)


def rebuild(builds: Builds, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(lifecycle, "new_run", builds.new_run)
    monkeypatch.setattr(lifecycle, "build", builds.build)
    monkeypatch.setattr(Session, "run_file", lambda session: None)
    monkeypatch.setattr(Session, "listen", lambda session: None)
    return cli.main(["rebuild", "--yes", "--runs-dir", str(folder / "runs")])


def test_rebuild_shows_both_digests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    builds = Builds([FACTS, FACTS])

    assert rebuild(builds, tmp_path, monkeypatch) == EXIT_DONE

    said = capsys.readouterr().out
    assert builds.count == 2
    assert said.count("sha256:1") == 2
    assert "both are the same" in said


def test_rebuild_fails_with_the_first_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    builds = Builds([FACTS, FACTS | {"environment_packages": ["torch==2.13.0"]}])

    assert rebuild(builds, tmp_path, monkeypatch) == EXIT_FAILED

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: rebuild: the two environments differ: only on the first: trl==1.16.0"
    assert len(lines) == 3


def test_rebuild_ends_with_the_first_build_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    builds = Builds([FACTS, FACTS], fails=True)

    assert rebuild(builds, tmp_path, monkeypatch) == EXIT_FAILED

    assert builds.count == 1
    assert "configure: no" in capsys.readouterr().err
