"""``make up``, ``make configure``, ``make launch``: each is a process of its own, and leaves the machine up."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from runner.adapters.stop import Stop
from runner.cli import verbs
from runner.cli.session import Session
from runner.cli.terminal import SilentView
from runner.context import Context
from runner.errors import MachineLostError, PlaybookFailedError, RunLockedError
from runner.lifecycle.steps import configure
from runner.run.models import Host
from runner.run.run_dir import create_run, write_json
from runner.run.run_file import RunFile
from runner.run.state import locked
from runner.simulation.world import VirtualWorld
from runner.world import RealWorld

HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 1.0, None, "lambda")


class Hand:
    """A session of one run, whose machine is up."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    def listen(self) -> None:
        """Nobody signals."""

    def context(self) -> Context:
        return self.ctx


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    world = RealWorld({"HOME": str(tmp_path)})
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 28, tzinfo=UTC), world)
    values: dict[str, Any] = {"data": {"train_path": "x"}, "compute": {"env": "lambda"}}
    write_json(run.config, values)
    write_json(run.host, HOST.to_mapping())
    return Context(run, RunFile.model_validate(values), SilentView(), Stop(VirtualWorld()), world)


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[Host]:
    """Machines that were left up; no lease is kept."""
    found: list[Host] = []
    monkeypatch.setattr(verbs.lease, "kept", lambda ctx, host: nullcontext())
    monkeypatch.setattr(verbs, "leave_alone", lambda ctx, host: found.append(host))
    return found


def fails(ctx: Context, host: Host) -> dict[str, Any]:
    raise PlaybookFailedError("configure: a task failed", resolution="-")


def test_a_machine_that_could_not_be_set_up_is_left_up_all_the_same(
    ctx: Context, left: list[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its guard would count on a runner that is gone, and terminate it while its user looks for the reason."""
    monkeypatch.setattr(configure, "configure", fails)

    with pytest.raises(PlaybookFailedError):
        verbs.configure(cast("Session", Hand(ctx)))

    assert left == [HOST]


def test_nothing_is_launched_on_a_machine_whose_lease_is_over(
    ctx: Context, left: list[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that cannot end itself would train on with nobody who stops it."""
    monkeypatch.setattr(verbs.lease, "why_over", lambda ctx, host, machine: "idle")
    monkeypatch.setattr("runner.lifecycle.steps.stage.stage", lambda ctx, host, resume: pytest.fail("it is over"))

    with pytest.raises(MachineLostError, match=r"lease: that of i-1 is over \(idle\)") as caught:
        verbs.launch(cast("Session", Hand(ctx)))

    assert f"`make configure RUN={ctx.run.run_id}` begins a new lease" in str(caught.value.resolution)
    assert left == [HOST]


def test_a_machine_that_another_process_drives_is_left_to_that(ctx: Context, left: list[Host]) -> None:
    with locked(ctx.run), pytest.raises(RunLockedError):
        verbs.configure(cast("Session", Hand(ctx)))

    assert left == []
