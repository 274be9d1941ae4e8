"""The lease that a runner keeps: at the cloud too, where that shows it, and never at the run's expense."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.adapters.stop import Stop
from runner.adapters.terraform import VARIABLES_FILE
from runner.cli.terminal import SilentView
from runner.cloud_api.models import Resource
from runner.context import Context
from runner.errors import CloudUnavailableError, NotFoundError
from runner.lifecycle import drive, lease
from runner.run.journal import Journal
from runner.run.models import Host
from runner.run.run_dir import create_run, write_json
from runner.run.run_file import RunFile
from runner.simulation.world import VirtualWorld
from tests.unit.runner.fake_cloud import FakeCloud

HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 2.0, None, "lambda")
HARD_END = datetime(2026, 11, 30, tzinfo=UTC)
NO_ANSWER = CloudUnavailableError("lambda: no answer", resolution="try again")


class LeaseCloud(FakeCloud):
    """A cloud that notes when it was asked to move which lease, and to when."""

    def __init__(self, world: VirtualWorld, *troubles: Exception | None) -> None:
        super().__init__(lease_troubles=list(troubles))  # type: ignore[arg-type]
        self.world = world
        self.asked: list[tuple[float, str, str | None, float]] = []

    def move_lease(self, machine: Resource, ends_at: datetime) -> None:
        left_s = (ends_at - self.world.now()).total_seconds()
        self.asked.append((self.world.monotonic_s(), machine.id, machine.run_id, left_s))
        super().move_lease(machine, ends_at)


class Shown(SilentView):
    """Whoever looks on, with the lines that were shown."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def made(tmp_path: Path, env: str = "lambda", max_usd: float | None = None) -> Context:
    world = VirtualWorld()
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 28, tzinfo=UTC), world)
    write_json(run.terraform / VARIABLES_FILE, {"expires_at": f"{HARD_END:%Y-%m-%dT%H:%M:%SZ}"})
    budget = {"lease_minutes": 15.0, "max_usd": max_usd}
    values = {"data": {"train_path": "x"}, "compute": {"env": env}, "budget": budget}
    return Context(run, RunFile.model_validate(values), Shown(), Stop(world), world)


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Words that the machine got."""
    said: list[str] = []
    monkeypatch.setattr(lease._Talk, "say", lambda self, word: said.append(word))
    monkeypatch.setattr(lease.arming, "kept_open", lambda ctx, host: nullcontext())
    return said


def at(monkeypatch: pytest.MonkeyPatch, ctx: Context, *troubles: Exception | None) -> LeaseCloud:
    assert isinstance(ctx.world, VirtualWorld)
    cloud = LeaseCloud(ctx.world, *troubles)
    monkeypatch.setattr(lease, "open_cloud", lambda name, world: cloud)
    return cloud


def test_the_cloud_shows_a_lease_that_outlasts_the_machines_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    ctx = made(tmp_path)
    cloud = at(monkeypatch, ctx)

    with lease.kept(ctx, HOST):
        ctx.world.sleep(901.0)

    assert [(when, left_s) for when, _, _, left_s in cloud.asked] == [(when, 1200.0) for when in (0, 300, 600, 900)]
    assert {(machine, run_id) for _, machine, run_id, _ in cloud.asked} == {("i-1", ctx.run.run_id)}
    assert len(words) > len(cloud.asked)


def test_no_lease_at_the_cloud_passes_the_hard_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    ctx = made(tmp_path, "aws")
    cloud = at(monkeypatch, ctx)
    ends_at = ctx.world.now() + timedelta(seconds=1500)
    write_json(ctx.run.terraform / VARIABLES_FILE, {"expires_at": f"{ends_at:%Y-%m-%dT%H:%M:%SZ}"})

    with lease.kept(ctx, HOST):
        ctx.world.sleep(901.0)

    assert [round(left_s, -1) for *_, left_s in cloud.asked] == [1200.0, 1200.0, 900.0, 600.0]


@pytest.mark.parametrize("trouble", [NO_ANSWER, NotFoundError("lambda: gone", resolution="look")])
def test_a_failure_at_the_cloud_ends_nothing_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], trouble: Exception
) -> None:
    ctx = made(tmp_path)
    cloud = at(monkeypatch, ctx, trouble, trouble, None)

    with lease.kept(ctx, HOST):
        ctx.world.sleep(100.0)

    assert [when for when, *_ in cloud.asked] == [0.0, 20.0, 40.0]
    assert set(words) == {"renew"}


def test_a_disk_that_is_full_for_a_while_does_not_end_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    ctx = made(tmp_path, "runpod")
    troubles = [OSError(28, "No space left on device")] * 2

    def say(self: object, word: str) -> None:
        words.append(word)
        if troubles:
            raise troubles.pop()

    monkeypatch.setattr(lease._Talk, "say", say)

    with lease.kept(ctx, HOST):
        ctx.world.sleep(70.0)

    assert words == ["renew"] * 4


def test_a_cloud_whose_machine_may_have_a_schedule_is_asked_like_one_that_shows_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    ctx = made(tmp_path, "aws")
    cloud = at(monkeypatch, ctx)

    with lease.kept(ctx, HOST):
        ctx.world.sleep(1000.0)
    lease.say_hold(ctx, HOST)

    assert [when for when, *_ in cloud.asked] == [0.0, 300.0, 600.0, 900.0, 1000.0]
    assert words[-1] == "hold"


def test_a_cloud_that_shows_no_lease_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    ctx = made(tmp_path, "runpod")
    cloud = at(monkeypatch, ctx)

    with lease.kept(ctx, HOST):
        ctx.world.sleep(1000.0)
    lease.say_hold(ctx, HOST)

    assert (cloud.asked, words[-1]) == ([], "hold")


def test_a_machine_that_is_left_alone_has_a_lease_to_its_hard_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    ctx = made(tmp_path)
    cloud = at(monkeypatch, ctx)

    lease.say_hold(ctx, HOST)

    assert (cloud.leases, words) == ({"i-1": HARD_END}, ["hold"])


def test_a_machine_that_is_left_for_its_user_is_kept_by_guard_and_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the launch shows ends half an hour after the boot: a sweep would terminate it."""
    ctx = made(tmp_path)
    cloud = at(monkeypatch, ctx)
    held: list[str | None] = []
    monkeypatch.setattr(lease.guarding, "hold", lambda ctx, host, prefix: held.append(prefix))
    monkeypatch.setattr(lease.guarding, "begin", lambda ctx, rents: None)
    monkeypatch.setattr(drive, "step", lambda ctx, name, work: HOST)

    drive.up(ctx)

    assert (cloud.leases, held) == ({"i-1": HARD_END}, [None])


def test_the_lease_of_a_machine_that_is_left_alone_ends_when_the_money_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    ctx = made(tmp_path, max_usd=4.0)
    cloud = at(monkeypatch, ctx)
    journal = Journal(ctx.run)
    journal.intent("provision", environment="lambda", candidates=[{"max_price_usd_per_h": 2.0}])
    journal.answer("provision", instance_id="i-1", price_usd_per_h=2.0)
    ctx.world.sleep(3600.0)

    lease.say_hold(ctx, HOST)

    assert cloud.asked[0][3] == pytest.approx(3600.0, abs=1)


def test_a_lease_that_could_not_be_moved_to_the_hard_end_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    ctx = made(tmp_path)
    at(monkeypatch, ctx, NO_ANSWER)

    lease.say_hold(ctx, HOST)

    assert isinstance(ctx.view, Shown)
    assert ctx.view.lines == ["lambda: no answer; a sweep may terminate i-1 before its hard end: `make watch` keeps it"]


def test_a_second_ctrl_c_ends_the_wait_for_whoever_renews_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, hung = made(tmp_path), 10 * lease.BEAT_S
    at(monkeypatch, ctx)
    monkeypatch.setattr(lease._Talk, "say", lambda self, word: ctx.world.sleep(hung))
    monkeypatch.setattr(lease.arming, "kept_open", lambda ctx, host: nullcontext())

    with lease.kept(ctx, HOST):
        ctx.world.sleep(1.0)
        ctx.stop.count = 2

    assert ctx.world.monotonic_s() < lease.BEAT_S
