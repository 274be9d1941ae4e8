"""Looks beside Terraform: a machine's beginning and end are known to seconds, whatever Terraform says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.cloud_api.credentials import NotConfiguredError
from runner.cloud_api.models import Listing
from runner.context import Context
from runner.lifecycle import lookout
from runner.lifecycle.lookout import LOOK_S, open_looks, until_over, until_shown
from runner.run.journal import Journal
from runner.run.rentals import Rental, rentals_in
from runner.run.run_dir import RunDir
from runner.run.run_file import RunFile
from runner.simulation.world import BEGINNING, VirtualWorld
from tests.unit.runner.fake_cloud import RUN_ID, FakeCloud, thing


@dataclass
class TimedCloud(FakeCloud):
    """Has a machine from one moment to another; a look takes so many seconds."""

    world: VirtualWorld = field(default_factory=VirtualWorld)
    from_s: float = 0.0
    to_s: float = 1e9
    look_s: float = 1.0

    def listing(self) -> Listing:
        passed_s = (self.world.now() - BEGINNING).total_seconds()
        self.there = [thing()] if self.from_s <= passed_s < self.to_s else []
        self.world.sleep(self.look_s)
        return super().listing()


def made(world: VirtualWorld, env: str = "lambda") -> Context:
    run = RunDir(Path("/runs") / RUN_ID, world)
    world.disk.make_folder(run.path)
    run_file = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": env}})
    Journal(run).intent("provision", environment=env)
    return Context(run, run_file, SilentView(), Stop(world), world)


def only(ctx: Context) -> Rental:
    (found,) = rentals_in(Journal(ctx.run).entries())
    return found


def opens(monkeypatch: pytest.MonkeyPatch, cloud: FakeCloud) -> None:
    monkeypatch.setattr(lookout, "open_cloud", lambda name, world: cloud)


def seconds(moment: datetime | None) -> float:
    assert moment is not None
    return (moment - BEGINNING).total_seconds()


def test_a_machine_is_shown_seconds_after_it_came_however_long_the_boot_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    with VirtualWorld() as world:
        ctx, cloud = made(world), TimedCloud(world=world, from_s=7.0)
        opens(monkeypatch, cloud)

        with until_shown(ctx):
            world.sleep(300.0)

        assert 7.0 <= seconds(only(ctx).there_at) <= 7.0 + LOOK_S + 2.0
        assert cloud.looks <= 5  # once it is shown nobody looks on


def test_looks_at_a_cloud_that_paces_requests_leave_half_of_the_time_to_terraform(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with VirtualWorld() as world:
        cloud = TimedCloud(world=world, from_s=1e9, look_s=3.0)
        opens(monkeypatch, cloud)

        with until_shown(made(world)):
            world.sleep(300.0)

        assert cloud.looks * 3.0 <= 153.0


def test_an_end_is_bounded_to_less_than_ten_seconds_however_long_terraform_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with VirtualWorld() as world:
        ctx, cloud = made(world), TimedCloud(world=world, to_s=33.0)
        opens(monkeypatch, cloud)

        with until_over(ctx, open_looks(ctx)):
            world.sleep(300.0)

        low, high = (seconds(end) for end in (only(ctx).seen_at, only(ctx).gone_at))
        assert low <= 33.0 <= high < low + 10.0


def test_a_machine_that_outlives_terraform_was_there_when_terraform_began(monkeypatch: pytest.MonkeyPatch) -> None:
    with VirtualWorld() as world:
        ctx = made(world)
        opens(monkeypatch, TimedCloud(world=world))
        world.sleep(60.0)

        with until_over(ctx, open_looks(ctx)):
            pass

        assert seconds(only(ctx).seen_at) == pytest.approx(60.0)


def test_nobody_looks_at_a_machine_that_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with VirtualWorld() as world:
        cloud = FakeCloud()
        opens(monkeypatch, cloud)

        with until_shown(made(world, "local")):
            world.sleep(60.0)

        assert cloud.looks == 0


def test_an_account_that_cannot_be_opened_keeps_terraform_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, world: object) -> FakeCloud:
        raise NotConfiguredError("lambda: no key", resolution="set it")

    monkeypatch.setattr(lookout, "open_cloud", refuse)
    with VirtualWorld() as world:
        ctx = made(world)
        assert open_looks(ctx) is None
        with until_over(ctx, None):
            world.sleep(1.0)


def test_a_second_ctrl_c_ends_the_wait_for_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    urgent: list[Callable[[], bool]] = []

    @contextmanager
    def beside(world: object, work: object, *, is_urgent: Callable[[], bool], **named: object) -> Iterator[None]:
        urgent.append(is_urgent)
        yield

    with VirtualWorld() as world:
        ctx = made(world)
        opens(monkeypatch, TimedCloud(world=world))
        monkeypatch.setattr(lookout, "beside", beside)
        with until_shown(ctx):
            ctx.stop.count = 2

    assert [is_urgent() for is_urgent in urgent] == [True]
