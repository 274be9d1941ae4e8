"""Files of a run that are damaged: each is an expected error that names the file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.errors import RunNotFoundError
from runner.run.run_dir import begin_run, create_run, list_traces, mark_plan, read_json, write_json
from runner.world import RealWorld
from tests.unit.runner.fake_run import run_named


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": 1}{', b"[1]", b"[]", b"null", b"7", b'"a"']
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    run = run_named(tmp_path)
    run.config.write_bytes(content)

    with pytest.raises(RunNotFoundError, match=r"config\.json is damaged"):
        read_json(run.config)


def test_a_plan_is_none_of_the_runs_of_which_something_may_be_left(tmp_path: Path) -> None:
    """The newest of them is what `make down` takes where it is given none."""
    run, now = run_named(tmp_path), datetime(2026, 11, 29, tzinfo=UTC)
    plan = create_run(tmp_path, "tiny", now, RealWorld())
    write_json(plan.config, {})
    mark_plan(plan, now)

    assert list_traces(tmp_path, RealWorld()) == [run]
    begin_run(plan)
    assert list_traces(tmp_path, RealWorld()) == [run, plan]


def test_a_file_of_a_run_is_made_once(tmp_path: Path) -> None:
    run = run_named(tmp_path)

    assert run.events is run.file("events.jsonl")
    assert run.events.path == run.path / "events.jsonl"
