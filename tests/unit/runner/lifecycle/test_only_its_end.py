"""A run whose work is here and whose end went wrong: `resume` and `down` end it, and nothing is rented again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import NoRoomError, RunnerError, TeardownError, UsageError
from runner.lifecycle import drive
from runner.lifecycle import finish as finishing
from runner.lifecycle.finish import Outcome
from runner.lifecycle.steps import destroy
from runner.run.models import Host, TrainerStatus
from runner.run.planned import Plan
from runner.run.run_dir import write_json
from runner.run.run_file import RunFile
from runner.run.state import RunState
from runner.simulation.world import VirtualWorld
from tests.unit.runner.fake_run import run_named

VALUES = {"data": {"train_path": "x"}, "compute": {"env": "runpod"}, "training": {"max_steps": 4}}


class AskedError(RunnerError):
    """Somebody would be asked for another machine."""


class Asks:
    """Who is asked before a machine is rented: it is an answer of its own that it is asked at all."""

    def expect(self, ctx: Context) -> None:
        raise AskedError("another machine", resolution="-")

    def ask(self, ctx: Context, found: Plan) -> None:
        raise AskedError("another machine", resolution="-")


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    run = run_named(tmp_path)
    write_json(run.config, VALUES)
    (run.path / "adapter").mkdir()
    monkeypatch.setattr(finishing, "_report", lambda ctx: None)
    world = VirtualWorld()
    ctx = Context(run, RunFile.model_validate(VALUES), SilentView(), Stop(world), world)
    for step in ("provision", "train", "collect"):
        ctx.state.begin(step)
        ctx.state.end(step, "done", 1.0)
    return ctx


@pytest.fixture
def destroyed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(destroy, "destroy", lambda ctx, keep_output: calls.append("destroyed"))
    return calls


def resumed(ctx: Context, **training: int) -> Outcome:
    run_file = RunFile.model_validate({**VALUES, "training": training}) if training else None
    return drive.resume(ctx.run, run_file, SilentView(), ctx.stop, ctx.world, consent=Asks())


def told(ctx: Context) -> tuple[str | None, bool]:
    state = RunState(ctx.run)
    return state.outcome, state.is_done("destroy")


def test_resume_after_a_last_look_that_failed_ends_what_is_left(ctx: Context, destroyed: list[str]) -> None:
    """RunPod seed 2933: it rented another machine, and trained from the first step what was here."""
    ctx.state.finish("failed", "destroy: what bills could not be listed")

    assert resumed(ctx).error is None
    assert destroyed == ["destroyed"]
    assert told(ctx) == ("done", True)


def test_resume_of_a_run_whose_runner_was_killed_behind_its_receipt_tells_its_end(
    ctx: Context, destroyed: list[str]
) -> None:
    ctx.state.end("destroy", "done", 1.0)
    write_json(ctx.run.receipt, {"format": 1})

    assert resumed(ctx).error is None
    assert told(ctx) == ("done", True)


def test_a_machine_that_still_does_not_go_is_the_news_again(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def stay(ctx: Context, *, keep_output: bool) -> None:
        raise TeardownError("it is still there", resolution="-")

    monkeypatch.setattr(destroy, "destroy", stay)

    assert isinstance(resumed(ctx).error, TeardownError)
    assert told(ctx) == ("failed", False)


def test_resume_leaves_a_machine_up_whose_checkpoint_has_no_room_here_and_rents_no_other(
    ctx: Context, destroyed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one would begin from where this disk was full before."""
    host = Host("192.0.2.7", 22, "root", "pod-1", "A40", "EU-SE-1", False, 0.4, None, "runpod")
    write_json(ctx.run.host, host.to_mapping())
    for step in ("train", "collect"):
        ctx.state.end(step, "interrupted", 1.0)
    left: list[Host] = []

    def no_room(ctx: Context, error: RunnerError | None) -> list[str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drive, "status_or_none", lambda ctx: TrainerStatus("exited", exit_code=75))
    monkeypatch.setattr(finishing, "_bring_home", no_room)
    monkeypatch.setattr(finishing, "leave_alone", lambda ctx, host: left.append(host))
    monkeypatch.setattr(Asks, "expect", lambda self, ctx: None)

    outcome = resumed(ctx)

    assert (type(outcome.error), outcome.running) == (NoRoomError, True)
    assert ([host.instance_id for host in left], destroyed) == (["pod-1"], [])


def test_down_after_it_says_that_the_run_is_done(ctx: Context, destroyed: list[str]) -> None:
    ctx.state.finish("failed", "destroy: what bills could not be listed")

    assert drive.down(ctx).error is None
    assert told(ctx) == ("done", True)


def test_what_is_here_goes_to_the_store_all_the_same(
    ctx: Context, destroyed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[list[str]] = []
    monkeypatch.setattr(finishing.storing, "copy_home", lambda ctx, names: stored.append(list(names)))

    drive.down(ctx)

    assert stored == [["adapter"]]


def test_a_run_whose_runner_was_killed_while_it_stored_is_not_over(
    ctx: Context, destroyed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a simulated life: `watch` said that it was done, with status 0, and nobody ever stored its adapter."""

    class KilledError(BaseException):
        """It is gone."""

    def die(ctx: Context, names: list[str]) -> None:
        raise KilledError

    stored: list[list[str]] = []
    monkeypatch.setattr(finishing.storing, "copy_home", die)
    with pytest.raises(KilledError):
        drive.down(ctx)
    before = told(ctx)[0]
    monkeypatch.setattr(finishing.storing, "copy_home", lambda ctx, names: stored.append(list(names)))

    assert resumed(ctx).error is None
    assert (before, told(ctx)[0], stored) == (None, "done", [["adapter"]])


@pytest.mark.parametrize("url", [None, "s3://a-bucket/runs"])
def test_who_is_in_a_hurry_is_told_what_is_not_in_the_store(
    url: str | None, ctx: Context, destroyed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a simulated life: the run was done, with status 0, and its adapter was at home alone."""
    monkeypatch.setattr(Stop, "urgent", True)
    again = replace(
        ctx, run_file=ctx.run_file.model_copy(update={"store": ctx.run_file.store.model_copy(update={"url": url})})
    )

    error = finishing.finish(again, None).error

    assert told(ctx) == ("done", True)
    if url is None:
        assert error is None
    else:
        assert error is not None
        assert "Ctrl-C was pressed twice" in error.message
        assert f"make sync RUN={ctx.run.run_id}" in (error.resolution or "")


def test_a_longer_run_is_not_what_is_here(ctx: Context) -> None:
    with pytest.raises(UsageError, match="no checkpoint of it is here to go on from"):
        resumed(ctx, max_steps=8)


def test_what_came_home_before_training_went_on_is_not_its_work(ctx: Context) -> None:
    ctx.state.begin("train")
    ctx.state.end("train", "done", 1.0)

    with pytest.raises(AskedError):
        resumed(ctx)
