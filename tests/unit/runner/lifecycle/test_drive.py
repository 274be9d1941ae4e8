"""The whole life of a run, with real processes, real Terraform, real signals; only the trainer is a stand-in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.adapters.process import ToolCancelledError
from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.lifecycle import drive
from runner.lifecycle.finish import Outcome
from runner.run.run_dir import create_run
from runner.run.run_file import RunFile
from runner.simulation.world import VirtualWorld
from tests.unit.runner.conftest import PROJECT, WAIT_S, CommandLine, processes_naming, wait_until


def state_of(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / "state.json").read_text())
    return found


def trainers_of(run: Path) -> list[int]:
    return processes_naming(f"{run}/box/")


def assert_nothing_left(run: Path) -> None:
    receipt = json.loads((run / "receipt.json").read_text())
    assert receipt["checks"]["trainer_processes"] == 0
    assert receipt["checks"]["terraform_resources"] == 0
    assert trainers_of(run) == []


def test_a_run_ends_with_an_adapter_a_receipt_and_an_empty_machine(command_line: CommandLine) -> None:
    done = command_line.train()

    run = command_line.latest()
    assert (done.returncode, done.stderr) == (0, "")
    assert (run / "adapter" / "adapter_model.safetensors").read_text() == "trained 6 steps"
    assert not (run / "box").exists()
    assert_nothing_left(run)
    assert list(state_of(run)["steps"]) == [  # type: ignore[call-overload]
        "plan", "provision", "configure", "stage", "train", "collect", "destroy", "report",
    ]  # fmt: skip
    assert f"adapter      {run}/adapter" in done.stdout
    assert f"checksums    {run}/adapter/SHA256SUMS" in done.stdout
    assert f"report       {run}/report.html" in done.stdout


def test_the_intent_stands_in_the_journal_before_the_answer(command_line: CommandLine) -> None:
    command_line.train()

    lines = [json.loads(line) for line in (command_line.latest() / "journal.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["action"]) for line in lines] == [
        ("intent", "provision"),
        ("answer", "provision"),
        ("intent", "destroy"),
        ("answer", "destroy"),
    ]


def test_training_goes_on_without_its_runner_and_watch_brings_it_home(command_line: CommandLine) -> None:
    runner = command_line.start("steps=40", command_line.gated)
    os.killpg(runner.pid, signal.SIGKILL)  # the runner and all of its process group
    runner.communicate(timeout=WAIT_S)
    run = command_line.latest()
    assert trainers_of(run) != []
    command_line.gate.touch()

    watched = command_line.run("watch")

    assert (watched.returncode, watched.stderr) == (0, "")
    assert (run / "adapter" / "adapter_model.safetensors").read_text() == "trained 40 steps"
    steps = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert [event["step"] for event in steps if event["event"] == "step"] == list(range(1, 41))
    assert_nothing_left(run)


def test_a_closed_terminal_ends_the_runner_and_not_the_training(command_line: CommandLine) -> None:
    runner = command_line.start("steps=40", command_line.gated)

    os.kill(runner.pid, signal.SIGHUP)
    _, errors = runner.communicate(timeout=WAIT_S)

    run = command_line.latest()
    assert runner.returncode == 130
    assert errors.splitlines()[:2] == [
        f"error: run: the terminal was closed; {run.name} continues without a runner",
        f"hint:  come back with `make watch RUN={run.name}`",
    ]
    assert trainers_of(run) != []
    command_line.gate.touch()
    assert command_line.run("watch").returncode == 0


def test_a_terminal_whose_window_is_closed_is_no_failure_of_the_run(command_line: CommandLine) -> None:
    runner, window = command_line.start_at_terminal("steps=40", command_line.gated)

    os.close(window)  # the kernel sends SIGHUP, and each print fails from now on

    assert runner.wait(WAIT_S) == 130
    run = command_line.latest()
    assert trainers_of(run) != []
    assert not (run / "receipt.json").exists()
    assert f"{run.name} continues without a runner" in (run / "logs" / "train.log").read_text()
    command_line.gate.touch()
    assert command_line.run("watch").returncode == 0
    assert (run / "adapter" / "adapter_model.safetensors").read_text() == "trained 40 steps"


@pytest.mark.parametrize(
    ("is_closed", "pressed", "message"),
    [
        (True, 0, "run: the terminal was closed before anything trained (terraform: stopped)"),
        (True, 1, "terraform: stopped"),
        (False, 1, "terraform: stopped"),
    ],
)
def test_a_run_that_ends_with_its_terminal_says_so(
    is_closed: bool, pressed: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rented machine that does not train yet only costs money."""
    world = VirtualWorld()
    run = create_run(Path("/runs"), "tiny", datetime(2026, 11, 29, tzinfo=UTC), world)
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": "lambda"}})
    ctx = Context(run, run_file, SilentView(), Stop(world), world)
    ctx.stop.leaving, ctx.stop.count = is_closed, pressed
    monkeypatch.setattr(drive, "finish", lambda ctx, error: Outcome(ctx.run, error))

    def life() -> Outcome:
        raise ToolCancelledError("terraform: stopped", resolution="-")

    error = drive._guarded(ctx, life).error
    assert error is not None
    assert error.message == message


def test_a_pipe_that_nobody_reads_any_more_changes_nothing(command_line: CommandLine) -> None:
    with command_line.start("steps=40", command_line.gated) as runner:
        assert runner.stdout is not None
        runner.stdout.close()
        command_line.gate.touch()
        assert runner.wait(WAIT_S) == 0

    run = command_line.latest()
    assert (run / "adapter" / "adapter_model.safetensors").read_text() == "trained 40 steps"
    assert_nothing_left(run)
    assert f"receipt      {run}/receipt.json" in "".join(log.read_text() for log in (run / "logs").glob("*.log"))


def test_a_run_needs_no_standard_output_at_all(command_line: CommandLine) -> None:
    words = command_line.argv("train", *command_line.train_words())

    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&- <&-', "sh", *words], cwd=PROJECT, capture_output=True, text=True, timeout=WAIT_S
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert_nothing_left(command_line.latest())


def test_a_killed_trainer_is_an_error_that_names_resume_and_resume_finishes_the_run(command_line: CommandLine) -> None:
    failed = command_line.train("steps=20", "die_at=8")
    run = command_line.latest()
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [
        "error: train: the trainer was killed by signal 9 at step 8",
        f"hint:  continue from its newest checkpoint with `make resume RUN={run.name}`",
        f"log:   {run}/logs/train.log",
    ]
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["checkpoint-6"]
    assert_nothing_left(run)

    resumed = command_line.run("resume")

    assert resumed.returncode == 0, resumed.stderr
    assert "going on from step 6" in resumed.stdout
    assert (run / "adapter" / "adapter_model.safetensors").read_text() == "trained 20 steps"
    assert state_of(run)["outcome"] == "done"
    assert_nothing_left(run)


def test_resume_starts_afresh_where_no_checkpoint_was_made(command_line: CommandLine) -> None:
    command_line.train("steps=20", "die_at=2")
    run = command_line.latest()

    resumed = command_line.run("resume", "--set", "publishing.tags=[steps=4]")

    assert resumed.returncode == 0, resumed.stderr
    assert (run / "adapter" / "adapter_model.safetensors").read_text() == "trained 4 steps"
    assert (run / "logs" / "events-1.jsonl").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_saves_a_checkpoint_then_destroys(command_line: CommandLine, number: int) -> None:
    runner = command_line.start("steps=2000")

    os.kill(runner.pid, number)
    out, errors = runner.communicate(timeout=WAIT_S)

    run = command_line.latest()
    assert runner.returncode == 130
    assert errors.splitlines() == [
        "error: run: stopped on request",
        f"hint:  continue with `make resume RUN={run.name}`",
        f"log:   {run}/logs/train.log",
    ]
    assert '"interrupted"' in (run / "events.jsonl").read_text()
    assert list((run / "checkpoints").glob("*/manifest.json")) != []
    assert f"checkpoints  {run}/checkpoints" in out
    assert state_of(run)["outcome"] == "interrupted"
    assert_nothing_left(run)


def test_two_signals_destroy_at_once_and_keep_what_is_nowhere_else(command_line: CommandLine) -> None:
    runner = command_line.start("steps=2000", "stubborn")

    os.kill(runner.pid, signal.SIGINT)
    assert runner.stdout is not None
    while "press Ctrl-C again" not in (line := runner.stdout.readline()):
        assert line, "the runner ended too early"
    os.kill(runner.pid, signal.SIGINT)
    runner.communicate(timeout=WAIT_S)

    run = command_line.latest()
    assert runner.returncode == 130
    assert [path.name for path in (run / "box").iterdir()] == ["output"]
    assert json.loads((run / "receipt.json").read_text())["kept_on_purpose"] == ["output"]
    assert_nothing_left(run)


def test_a_failed_training_shows_the_trainers_own_words(command_line: CommandLine) -> None:
    done = command_line.train("fail")

    run = command_line.latest()
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: train: loss is NaN",
        "hint:  lower it",
        f"log:   {run}/logs/train.log",
    ]
    assert_nothing_left(run)


def test_a_second_runner_is_refused_by_naming_who_holds_the_run(command_line: CommandLine) -> None:
    runner = command_line.start("steps=2000")

    second = command_line.run("configure")

    run = command_line.latest()
    assert second.returncode == 1
    assert second.stderr.splitlines()[0] == f"error: run: {run.name} is driven by another runner (pid {runner.pid})"
    os.kill(runner.pid, signal.SIGINT)
    runner.communicate(timeout=WAIT_S)


def test_down_stops_a_living_runner_and_is_quiet_the_second_time(command_line: CommandLine) -> None:
    runner = command_line.start("steps=2000")

    first, second = command_line.run("down"), command_line.run("down")
    runner.communicate(timeout=WAIT_S)

    run = command_line.latest()
    assert (runner.returncode, first.returncode, second.returncode) == (130, 0, 0)
    assert f"run {run.name} is down already" in second.stdout
    assert list((run / "checkpoints").glob("*/manifest.json")) != []
    assert_nothing_left(run)


def test_down_ends_a_run_whose_runner_was_killed(command_line: CommandLine) -> None:
    runner = command_line.start("steps=2000")
    os.killpg(runner.pid, signal.SIGKILL)
    runner.communicate(timeout=WAIT_S)

    done = command_line.run("down")

    run = command_line.latest()
    assert (done.returncode, done.stderr) == (0, "")
    assert list((run / "checkpoints").glob("*/manifest.json")) != []
    assert_nothing_left(run)


def test_detach_leaves_the_training_to_watch(command_line: CommandLine) -> None:
    detached = command_line.train("steps=40", extra=("--detach",))
    run = command_line.latest()
    assert detached.returncode == 0, detached.stderr
    assert f"make watch RUN={run.name}" in detached.stdout

    assert command_line.run("watch").returncode == 0
    assert_nothing_left(run)


def test_a_plan_is_no_run_until_it_is_resumed(command_line: CommandLine) -> None:
    assert command_line.train("steps=4").returncode == 0
    run = command_line.latest()
    planned = command_line.run("plan", *command_line.train_words("steps=3"))
    plan = command_line.latest()
    assert planned.returncode == 0, planned.stderr
    assert plan != run

    down, down_plan = command_line.run("down"), command_line.run("down", "--run", plan.name)
    table = json.loads(command_line.run("runs", "--json").stdout)

    assert (down.returncode, down_plan.returncode, down_plan.stderr) == (0, 0, "")
    assert f"run {run.name} is down already" in down.stdout
    assert f"{plan.name} is a plan that was never started" in down_plan.stdout
    assert not (plan / "receipt.json").exists()
    assert [row["run"] for row in table] == [run.name]

    resumed = command_line.run("resume", "--run", plan.name)

    assert resumed.returncode == 0, resumed.stderr
    assert (plan / "adapter" / "adapter_model.safetensors").read_text() == "trained 3 steps"
    assert f"run {plan.name} is down already" in command_line.run("down").stdout
    assert_nothing_left(plan)


def test_the_steps_can_be_done_by_hand(command_line: CommandLine) -> None:
    assert command_line.run("up", *command_line.train_words("steps=3")).returncode == 0
    run = command_line.latest()
    for verb in ("configure", "launch"):
        done = command_line.run(verb)
        assert done.returncode == 0, done.stderr
    wait_until((run / "box" / "output" / "exit.json").exists)
    collected, down = command_line.run("collect"), command_line.run("down")

    assert "adapter" in collected.stdout
    assert (down.returncode, state_of(run)["outcome"]) == (0, "done")
    assert_nothing_left(run)


def test_status_and_runs_report_how_runs_stand(command_line: CommandLine) -> None:
    command_line.train()

    status = json.loads(command_line.run("status", "--json").stdout)
    table = json.loads(command_line.run("runs", "--json").stdout)

    run = command_line.latest()
    assert (status["run"], status["state"], status["step"], status["trainer"]) == (run.name, "done", 6, "none")
    assert [(row["run"], row["accepted"]) for row in table] == [(run.name, True)]
    assert run.name in command_line.run("runs").stdout


def test_the_store_gets_a_copy_of_the_adapter(command_line: CommandLine) -> None:
    store = command_line.folder / "store"

    command_line.train(extra=("--set", f"store.url=file://{store}"))

    copied = store / command_line.latest().name / "adapter"
    assert sorted(path.name for path in copied.iterdir()) == [
        "SHA256SUMS",
        "acceptance.json",
        "adapter_model.safetensors",
        "learned.txt",
        "manifest.json",
    ]


def test_a_store_that_fails_at_the_end_is_reported_and_the_run_stays_done(command_line: CommandLine) -> None:
    done = command_line.train(extra=("--set", f"store.url=file://{command_line.config}"))

    run = command_line.latest()
    assert done.returncode == 1
    assert done.stderr.startswith("error: store: cannot write ")
    assert f"all of it is in {run}" in done.stderr
    assert state_of(run)["outcome"] == "done"
    assert (run / "adapter" / "SHA256SUMS").exists()
    assert_nothing_left(run)


def test_a_resume_takes_what_only_the_store_has(command_line: CommandLine) -> None:
    store = command_line.folder / "store"
    command_line.train("steps=20", "die_at=8", extra=("--set", f"store.url=file://{store}"))
    run = command_line.latest()
    shutil.rmtree(run / "checkpoints")

    resumed = command_line.run("resume")

    assert resumed.returncode == 0, resumed.stderr
    assert "going on from step 6" in resumed.stdout
    assert (run / "adapter" / "adapter_model.safetensors").read_text() == "trained 20 steps"
