"""Whatever goes wrong at the end of a run, the machine goes, and the worst news is what is told."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from runner.adapters.process import ToolTimeoutError
from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.clouds.registry import Accounts
from runner.context import Context
from runner.errors import HostWordsError, RunnerError, TeardownError, TrainingFailedError, TransferError
from runner.lifecycle import drive as lifecycle
from runner.lifecycle import finish as finishing
from runner.lifecycle import standing
from runner.lifecycle.steps import destroy
from runner.run.models import TrainerStatus
from runner.run.run_dir import write_json
from runner.run.run_file import RunFile
from runner.simulation.world import VirtualWorld
from tests.unit.runner.fake_cloud import FakeCloud, thing
from tests.unit.runner.fake_run import run_named

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    run = run_named(tmp_path)
    values = {"data": {"train_path": "x"}, "compute": {"env": "lambda"}}
    write_json(run.config, values)
    world = VirtualWorld()
    return Context(run, RunFile.model_validate(values), SilentView(), Stop(world), world)


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def bring_home(ctx: Context, earlier: RunnerError | None) -> list[str] | None:
        raise error

    monkeypatch.setattr(finishing, "_bring_home", bring_home)


@pytest.fixture
def destroyed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(destroy, "destroy", lambda ctx, keep_output: calls.append("destroyed"))
    monkeypatch.setattr(finishing, "_report", lambda ctx: None)
    return calls


@pytest.mark.parametrize("error", [TransferError("lost", resolution="-"), FULL])
def test_a_failure_to_bring_home_does_not_keep_the_machine(
    error: BaseException, ctx: Context, destroyed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, error)

    outcome = finishing.finish(ctx, None)

    assert destroyed == ["destroyed"]
    assert outcome.error is not None
    assert outcome.error.exit_code == 1


def test_a_defect_does_not_keep_the_machine_either(
    ctx: Context, destroyed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, ZeroDivisionError("oh"))

    with pytest.raises(ZeroDivisionError):
        finishing.finish(ctx, None)

    assert destroyed == ["destroyed"]


@pytest.mark.parametrize("error", [KeyError("steps"), TransferError("odd", resolution="-")])
def test_a_defect_while_destroying_leaves_the_machine_to_its_mark(
    error: Exception, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = FakeCloud([thing(run_id=ctx.run.run_id)])
    monkeypatch.setattr("runner.lifecycle.by_mark.accounts", lambda world: Accounts([cloud], {}, {}))
    monkeypatch.setattr(finishing, "_bring_home", lambda ctx, error: [])
    monkeypatch.setattr(finishing, "_report", lambda ctx: None)

    def defect(ctx: Context, keep_output: bool) -> None:
        raise error

    monkeypatch.setattr(destroy, "destroy", defect)

    assert finishing.finish(ctx, None).error is not None
    assert cloud.there == []


def test_a_machine_that_stays_is_worse_news_than_a_defect(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def stay(ctx: Context, *, keep_output: bool) -> None:
        raise TeardownError("it is still there", resolution="-")

    fail_with(monkeypatch, ZeroDivisionError("oh"))
    monkeypatch.setattr(destroy, "destroy", stay)

    with pytest.raises(TeardownError):
        finishing.finish(ctx, None)


@pytest.mark.parametrize("error", [HostWordsError, TrainingFailedError, ToolTimeoutError])
def test_a_rented_machine_that_talks_nonsense_is_taken_down_all_the_same(
    error: type[RunnerError], ctx: Context, destroyed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nonsense(ctx: Context) -> TrainerStatus:
        raise error("nonsense", resolution="-")

    monkeypatch.setattr(standing, "trainer_status", nonsense)

    lifecycle.down(ctx)

    assert destroyed == ["destroyed"]


@pytest.mark.parametrize(
    ("cloud", "exit_code"), [(FakeCloud([thing()]), 1), (FakeCloud([thing()], ends_slowly=999), 3)]
)
def test_on_a_full_disk_the_cloud_is_asked_without_a_line_written(
    cloud: FakeCloud, exit_code: int, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise FULL

    monkeypatch.setattr("runner.run.state.write_json", full)
    monkeypatch.setattr("runner.lifecycle.by_mark.open_cloud", lambda name, environ: cloud)

    outcome = finishing.finish(ctx, None)

    assert outcome.error is not None
    assert (outcome.error.exit_code, cloud.asked_to_end[:1]) == (exit_code, ["i-1"])
    assert (cloud.there == []) is (exit_code == 1)
    assert "No space left on device" in outcome.error.message or exit_code == 3


def test_a_full_disk_in_the_middle_ends_in_destroy(ctx: Context, destroyed: list[str]) -> None:
    def life() -> finishing.Outcome:
        raise FULL

    outcome = lifecycle._guarded(ctx, life)

    assert destroyed == ["destroyed"]
    assert outcome.error is not None
    assert outcome.error.message == f"run: {ctx.run.path}: No space left on device"


def test_a_defect_in_the_middle_is_reported_and_ends_in_destroy(ctx: Context, destroyed: list[str]) -> None:
    def life() -> finishing.Outcome:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lifecycle._guarded(ctx, life)

    assert destroyed == ["destroyed"]


def test_a_machine_that_stays_after_a_defect_in_the_middle_is_the_news(
    ctx: Context, destroyed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def life() -> finishing.Outcome:
        raise ZeroDivisionError

    def stay(ctx: Context, *, keep_output: bool) -> None:
        raise TeardownError("it is still there", resolution="-")

    monkeypatch.setattr(destroy, "destroy", stay)

    with pytest.raises(TeardownError):
        lifecycle._guarded(ctx, life)


class Hung:
    """A machine that takes everything and answers nothing: each question waits for its whole time."""

    home, name = "/root", "hung"

    def __init__(self, world: VirtualWorld) -> None:
        self._world = world

    def run(self, argv: list[str], *, timeout_s: float, **named: object) -> None:
        self._world.sleep(timeout_s)
        raise ToolTimeoutError("process: it did not finish", resolution="-")

    def close(self) -> None:
        """Nothing is open."""

    def __getattr__(self, name: str) -> object:
        return lambda *given, **named: self.run([], timeout_s=60.0)


@pytest.mark.parametrize("cloud", ["lambda", "runpod", "aws"])
@pytest.mark.parametrize("doing", [None, TrainingFailedError("no", resolution="-")])
def test_a_second_ctrl_c_goes_straight_to_destroy_whatever_the_machine_does(
    cloud: str, doing: RunnerError | None, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the virtual clock: the machine hangs, and so does its cloud when the lease is moved there."""
    host = {"address": "203.0.113.7", "port": 22, "user": "root", "instance_id": "i-1", "instance_type": "gpu"}
    write_json(
        ctx.run.host, host | {"region": "here", "spot": False, "price_usd_per_h": 1.0, "host_key": None, "cloud": cloud}
    )
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": cloud}})
    reached: list[float] = []
    with VirtualWorld() as world:
        hurried = Context(ctx.run, run_file, SilentView(), Stop(world), world)
        hurried.stop.count = 2
        monkeypatch.setattr(Context, "machine", lambda self, host: Hung(world))
        monkeypatch.setattr("runner.lifecycle.lease.open_cloud", lambda name, world: Hung(world))
        monkeypatch.setattr(destroy, "destroy", lambda ctx, keep_output: reached.append(world.monotonic_s()))
        monkeypatch.setattr(finishing, "_report", lambda ctx: None)
        began_s = world.monotonic_s()

        finishing.finish(hurried, doing)

    assert reached == [began_s], "nothing is asked of a machine that goes at once"
