"""A runner that comes back to a machine whose lease has run out meanwhile: the machine is lost, and not the run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.machine import LocalMachine
from runner.adapters.process import ToolTimeoutError
from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import (
    RENTS_AGAIN,
    ConnectionLostError,
    MachineLostError,
    RunInterruptedError,
    RunnerError,
    TrainerLostError,
    TrainingFailedError,
)
from runner.lifecycle.steps import train
from runner.run.models import Completed, Host
from runner.run.run_dir import create_run, write_json
from runner.run.run_file import RunFile
from runner.world import RealWorld

HOST = Host("192.0.2.7", 22, "root", "pod-1", "A40", "EU-SE-1", False, 0.4, None, "runpod")
OVER = {"was_running": True, "runs": True, "written": True, "over": "not_renewed"}


class Machine(LocalMachine):
    """A rented machine whose trainer has ended like this, and whose lease says that."""

    name = "pod-1"

    def __init__(self, status: dict[str, Any], lease: Any) -> None:
        self._status, self._lease = status, lease
        self.was_asked_for_its_lease = False

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        if argv[0] != "sh":
            return Completed(
                tuple(argv), 0, json.dumps({"state": "exited", "step": 30, "checkpoint": 30} | self._status)
            )
        self.was_asked_for_its_lease = True
        if isinstance(self._lease, Exception):
            raise self._lease
        return Completed(tuple(argv), *((127, "") if self._lease is None else (0, json.dumps(self._lease))))


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    run = create_run(tmp_path / "runs", "tiny", datetime(2026, 11, 30, tzinfo=UTC), RealWorld())
    write_json(run.host, HOST.to_mapping())
    compute = {"env": "runpod", "prefix": str(tmp_path / "box")}
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "model": {"base_model": "a/b"}, "compute": compute})
    ctx = Context(run, run_file, SilentView(), Stop(RealWorld()), RealWorld())
    box = ctx.box(HOST, LocalMachine())
    Path(box.python).parent.mkdir(parents=True)
    Path(box.python).touch()
    Path(box.output).mkdir()
    Path(box.output, "exit.json").write_text("{}")
    return ctx


def end_of(ctx: Context, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> RunnerError:
    monkeypatch.setattr(Context, "machine", lambda self, host: machine)
    with pytest.raises(RunnerError) as caught:
        train.follow(ctx, HOST)
    return caught.value


@pytest.mark.parametrize(
    "status", [{"exit_code": 75}, {"exit_code": 137}, {"state": "lost", "exit_code": None}], ids=str
)
def test_a_trainer_that_was_stopped_for_want_of_a_word_means_a_lost_machine(
    status: dict[str, Any], ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = end_of(ctx, Machine(status, OVER), monkeypatch)

    assert type(error) is MachineLostError
    assert error.failure in RENTS_AGAIN
    assert "machine pod-1 had no word from here for 15 min; it has stopped the trainer at step 30" in error.message


@pytest.mark.parametrize("status", [{"exit_code": 75}, {"exit_code": 137}], ids=str)
def test_a_machine_at_its_hard_end_says_so_and_no_other_one_is_rented(
    status: dict[str, Any], ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = end_of(ctx, Machine(status, OVER | {"over": "hard_end"}), monkeypatch)

    assert type(error) is RunInterruptedError
    assert error.failure not in RENTS_AGAIN
    assert error.message == "train: machine pod-1 is at its hard end; it has stopped the trainer at step 30"
    assert "SET=budget.max_hours=" in str(error.resolution)


def test_a_machine_that_is_taken_back_is_asked_nothing_more(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx.run.events.append(b'{"event": "reclaimed", "time": "2026-11-30T00:00:00+00:00"}\n')
    machine = Machine({"exit_code": 75}, ConnectionLostError("pod-1 cannot be reached", resolution="wait"))

    error = end_of(ctx, machine, monkeypatch)

    assert type(error) is MachineLostError
    assert "runpod takes machine pod-1 back" in error.message
    assert not machine.was_asked_for_its_lease


@pytest.mark.parametrize("why", [None, "idle", 7, ["not_renewed"]])
def test_for_any_other_reason_the_trainer_was_interrupted(
    why: Any, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type(end_of(ctx, Machine({"exit_code": 75}, OVER | {"over": why}), monkeypatch)) is RunInterruptedError


def test_a_machine_of_an_older_release_says_nothing_of_it(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"was_running": True, "runs": True, "written": True}

    assert type(end_of(ctx, Machine({"exit_code": 75}, old), monkeypatch)) is RunInterruptedError
    assert type(end_of(ctx, Machine({"exit_code": 75}, None), monkeypatch)) is RunInterruptedError


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (ConnectionLostError("pod-1 cannot be reached", resolution="wait"), ConnectionLostError),
        (ToolTimeoutError("ssh: slow", resolution="wait"), TrainerLostError),
    ],
)
def test_a_machine_that_ends_while_it_is_asked_is_out_of_reach_and_one_that_is_slow_says_nothing(
    failure: RunnerError, error: type[RunnerError], ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type(end_of(ctx, Machine({"exit_code": 137}, failure), monkeypatch)) is error


def test_a_training_that_failed_by_itself_failed_whatever_the_lease_says(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine({"exit_code": 1}, OVER)

    assert type(end_of(ctx, machine, monkeypatch)) is TrainingFailedError
    assert not machine.was_asked_for_its_lease


def test_a_machine_that_was_given_has_no_lease(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine({"exit_code": 75}, OVER)
    given = ctx.run_file.model_copy(update={"compute": ctx.run_file.compute.model_copy(update={"env": "existing"})})

    assert type(end_of(replace(ctx, run_file=given), machine, monkeypatch)) is RunInterruptedError
    assert not machine.was_asked_for_its_lease
