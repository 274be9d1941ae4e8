"""A command that goes on with a run ends in status 3 where its machine may go on billing, and names it."""

from __future__ import annotations

import errno
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.terraform import VARIABLES_FILE
from runner.cli import parser as cli
from runner.cli import verbs
from runner.cli.unproved import billing_words
from runner.context import Context
from runner.errors import (
    ConnectionLostError,
    LeftUpError,
    NoReceiptError,
    RunInterruptedError,
    TrainingFailedError,
    UsageError,
)
from runner.lifecycle import standing
from runner.run.journal import Journal
from runner.run.run_dir import RunDir, mark_plan, write_json
from runner.run.state import RunState, locked
from runner.safety.asked import close
from runner.world import RealDisk
from tests.unit.runner.fake_run import run_named
from tests.unit.runner.test_runs_of_format_1 import NOW, Gone, Later

LINE = "i-1 on lambda at $0.75/h, until 2026-11-29 08:00 UTC at the latest"


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run whose machine bills."""
    made = RunDir(run_named(tmp_path / "runs").path, Later({}))
    write_json(made.config, {"data": {"train_path": "x"}, "compute": {"env": "lambda"}})
    journal = Journal(made)
    journal.intent("provision", environment="lambda", candidates=[{"max_price_usd_per_h": 2.0}])
    journal.answer("provision", instance_id="i-1", price_usd_per_h=0.75)
    RunState(made).begin("provision")
    host = {"address": "203.0.113.7", "port": 22, "user": "root", "instance_id": "i-1", "instance_type": "gpu"}
    write_json(
        made.host,
        host | {"region": "here", "spot": False, "price_usd_per_h": 0.75, "host_key": None, "cloud": "lambda"},
    )
    made.terraform.mkdir()
    write_json(made.terraform / VARIABLES_FILE, {"expires_at": (NOW + timedelta(hours=9)).isoformat()})
    return made


def ask(run: RunDir, *words: str) -> int:
    return cli.main([*words, "--run", run.run_id, "--runs-dir", str(run.path.parent)], Later({}))


class Closed(RealDisk):
    """A disk whose folders may not be looked into."""

    def is_file(self, path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    is_dir = is_file

    def read(self, path: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def test_a_folder_that_may_not_be_looked_into_may_have_a_machine(tmp_path: Path) -> None:
    world = Later({})
    world._disk = Closed()

    (line,) = billing_words(RunDir(tmp_path / "20261128-160000-tiny", world))

    assert line == "a machine of run 20261128-160000-tiny, until it is terminated"


def test_a_machine_is_named_with_its_price_and_its_end(run: RunDir) -> None:
    assert billing_words(run) == [LINE]


@pytest.mark.parametrize("end", ["receipt", "closed", "plan", "refused", "given"])
def test_what_cannot_bill_is_not_named(run: RunDir, end: str) -> None:
    if end == "receipt":
        write_json(run.receipt, {})
    elif end == "closed":
        close(run)
    elif end == "plan":
        mark_plan(run, NOW)
        run.file("journal.jsonl").unlink()
    elif end == "refused":
        run.file("journal.jsonl").unlink()
        Journal(run).intent("provision", environment="lambda")
        Journal(run).answer("provision", failed="nothing was rented")
    else:
        run.file("journal.jsonl").unlink()
        write_json(run.config, {"compute": {"env": "existing"}})

    assert billing_words(run) == []


@pytest.mark.parametrize("journal", [None, b"", b"{", b"7\n"])
def test_a_journal_that_says_nothing_counts_as_a_machine(run: RunDir, journal: bytes | None) -> None:
    run.file("journal.jsonl").unlink()
    if journal is not None:
        run.file("journal.jsonl").write_bytes(journal)

    assert billing_words(run) == [f"a machine of run {run.run_id}, {LINE.partition(', ')[2]}"]


@pytest.mark.parametrize("verb", ["configure", "launch", "collect", "sync", "watch", "resume", "down"])
@pytest.mark.parametrize(
    "err",
    [
        ConnectionLostError("ssh: no answer", resolution="-"),
        UsageError("no", resolution="-"),
        RunInterruptedError("stopped", resolution="-"),
        KeyboardInterrupt(),
        ZeroDivisionError("a defect"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_whatever_ends_a_command_the_machine_is_named(
    run: RunDir, verb: str, err: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(session: Any) -> int:
        session.run()
        raise err

    monkeypatch.setattr("runner.cli.parser.actions", lambda: {verb: fail})

    words = [verb, "pull"] if verb == "sync" else [verb]
    assert ask(run, *words) == 3
    if verb != "down" or isinstance(err, (ConnectionLostError, UsageError, RunInterruptedError)):
        assert f"bills: {LINE}; terminate it with `make down RUN={run.run_id}`" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["collect"], ["sync", "push"]])
def test_what_a_command_leaves_up_is_named_with_its_price_and_its_end(
    run: RunDir, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("runner.lifecycle.steps.collect.collect", lambda ctx, host, *, with_checkpoints: ["adapter"])
    monkeypatch.setattr("runner.lifecycle.sync.sync_machine", lambda ctx, host, direction: None)

    assert ask(run, *words) == 0
    assert "gpu i-1 at $0.75/h, until 2026-11-29 08:00 UTC at the latest" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("err", "status"),
    [(NoReceiptError("gone", resolution="-"), 1), (LeftUpError("left", resolution="-"), 130)],
)
def test_what_was_shown_keeps_its_status(
    run: RunDir, err: Exception, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: Any) -> int:
        session.run()
        raise err

    monkeypatch.setattr("runner.cli.parser.actions", lambda: {"watch": fail})

    assert ask(run, "watch") == status


def test_a_failed_run_with_a_receipt_is_status_one(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(session: Any) -> int:
        write_json(session.run().receipt, {})
        raise TrainingFailedError("no", resolution="-")

    monkeypatch.setattr("runner.cli.parser.actions", lambda: {"train": fail, "watch": fail})

    assert ask(run, "watch") == 1


@pytest.mark.parametrize("verb", ["watch", "launch"])
def test_a_machine_that_does_not_answer_bills(run: RunDir, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "machine", lambda self, host: Gone())
    monkeypatch.setattr(standing, "machine_gone", lambda ctx: None)
    monkeypatch.setattr("runner.cli.session.provide_for", lambda *given, **named: None)

    assert ask(run, verb) == 3


def test_a_runner_that_does_not_stop_keeps_its_machine(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    class Waiting(Later):
        def signal(self, process_id: int, number: Any) -> None:
            """Let nobody hear it."""

    with locked(run):
        status = cli.main(["down", "--run", run.run_id, "--runs-dir", str(run.path.parent)], Waiting({}))

    assert status == 3
    assert LINE in capsys.readouterr().err


def test_watch_says_that_a_runner_was_killed_before_its_end(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verbs, "holder", lambda run: 1)
    monkeypatch.setattr(verbs, "_look_on", lambda ctx: None)

    assert ask(run, "watch") == 3
    assert LINE in capsys.readouterr().out


def test_watch_of_a_run_whose_runner_was_killed_while_it_wrote_the_end_is_no_success(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verbs, "holder", lambda run: 1)
    monkeypatch.setattr(verbs, "_look_on", lambda ctx: None)
    Journal(run).answer("look", cloud="lambda", machines=[], gone=[{"id": "i-1"}])

    assert ask(run, "watch") == 1
    assert f"end it with `make down RUN={run.run_id}`" in capsys.readouterr().out


def test_watch_of_a_run_that_its_runner_has_left_on_purpose_is_no_failure(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verbs, "holder", lambda run: 1)
    monkeypatch.setattr(verbs, "_look_on", lambda ctx: None)
    run.file("lease.json").write_bytes(json.dumps({"word": "hold", "said_at": NOW.isoformat()}).encode())

    assert ask(run, "watch") == 0
    assert LINE in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["watch", "resume", "collect"])
@pytest.mark.parametrize("is_named", [True, False])
def test_a_run_that_has_lost_its_config_may_bill_all_the_same(
    run: RunDir, verb: str, is_named: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    run.config.unlink()
    named = ["--run", run.run_id] if is_named else []

    status = cli.main([verb, *named, "--runs-dir", str(run.path.parent)], Later({}))

    shown = capsys.readouterr().err
    assert status == 3
    assert f"the folder of run {run.run_id} has lost its config.json" in shown
    assert LINE in shown


def test_where_there_is_no_run_at_all_none_may_bill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["watch", "--runs-dir", str(tmp_path)], Later({})) == 2
    assert "there is no run in" in capsys.readouterr().err
