"""What people hear of a guard: after it has acted, each event once, and never instead of its work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner.adapters.notices.order import Notice
from runner.adapters.notices.sender import Sender
from runner.cloud_api.models import Listing
from runner.errors import CloudUnavailableError
from runner.guard.telling import TROUBLE_S
from runner.guard.words import Receivers
from runner.run.run_dir import RunDir
from runner.run.said_once import was_said_by_guard
from runner.simulation.world import VirtualWorld
from tests.unit.runner.fake_cloud import RUN_ID, FakeCloud, thing
from tests.unit.runner.guard.conftest import FOLDER
from tests.unit.runner.guard.test_guard import (
    HELD,
    HOUR_S,
    LEASE_S,
    SAVING_S,
    Box,
    Script,
    beats,
    guard_of,
    word,
)

RECEIVERS = Receivers(["${HOOK}"], ["terminated", "failed"], [], "/home/me", {"HOOK": "ntfy://secret"})
DUE_S = 60 + LEASE_S + SAVING_S
DOWN = CloudUnavailableError("lambda: no answer", resolution="-")


class SilentCloud(FakeCloud):
    """A cloud that does not answer for a while."""

    is_silent: Callable[[], bool] = staticmethod(lambda: False)

    def silence(self, world: VirtualWorld, until_s: float) -> None:
        self.is_silent = lambda: world.boottime_s() < until_s

    def listing(self) -> Listing:
        if self.is_silent():
            raise DOWN
        return super().listing()


class Post:
    """Keeps what is sent, and what there was at the cloud then."""

    def __init__(self, cloud: FakeCloud) -> None:
        self.cloud, self.left = cloud, list[int]()
        self.sent: list[Notice] = []
        self.waited = False

    def send(self, notice: Notice) -> None:
        self.sent.append(notice)
        self.left.append(len(self.cloud.there))

    @property
    def events(self) -> list[str]:
        return [one.event for one in self.sent]


@pytest.fixture
def cloud() -> SilentCloud:
    return SilentCloud([thing()])


@pytest.fixture
def post(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> Post:
    found = Post(cloud)
    monkeypatch.setattr(Sender, "send", lambda self, notice: found.send(notice))
    monkeypatch.setattr(Sender, "wait", lambda self, is_urgent, longest_s: setattr(found, "waited", True))
    return found


def killed(world: VirtualWorld) -> Script:
    """Return what a runner says that is killed after a minute."""
    return Script(world, beats(60), gone_s=65)


def test_who_wants_notices_hears_that_a_guard_has_ended_the_run_once_nothing_is_left(
    world: VirtualWorld, cloud: FakeCloud, post: Post
) -> None:
    guard_of(world, cloud, killed(world), receivers=RECEIVERS).watch()

    assert (post.events, post.left, post.waited) == (["terminated", "failed"], [0, 0], True)
    terminated, failed = post.sent
    assert (terminated.run_id, terminated.title) == (RUN_ID, f"{RUN_ID} bills nothing any more")
    assert "nothing of it is left on lambda (the runner is gone: no word for 16.0 minutes)" in terminated.body
    assert f"`make resume RUN={RUN_ID}`" in failed.body
    assert "secret" not in terminated.body + failed.body
    run = RunDir(FOLDER, world)
    assert (was_said_by_guard(run, "terminated"), was_said_by_guard(run, "failed")) == (True, True)


def test_where_nobody_wants_any_nothing_is_sent_or_noted(world: VirtualWorld, cloud: FakeCloud, post: Post) -> None:
    guard_of(world, cloud, killed(world)).watch()

    assert (post.events, post.waited) == ([], False)
    assert not was_said_by_guard(RunDir(FOLDER, world), "terminated")


def test_of_a_run_that_its_runner_has_ended_the_guard_says_nothing(
    world: VirtualWorld, cloud: FakeCloud, post: Post
) -> None:
    script = Script(world, [*beats(60), (61.0, {"word": "over"})])

    guard_of(world, cloud, script, receivers=RECEIVERS).watch()

    assert (post.events, post.waited) == ([], False)


def test_a_cloud_that_refuses_for_long_is_said_and_the_end_all_the_same(
    world: VirtualWorld, cloud: SilentCloud, post: Post
) -> None:
    cloud.silence(world, until_s=DUE_S + TROUBLE_S + 120)

    guard_of(world, cloud, killed(world), receivers=RECEIVERS).watch()

    assert post.events == ["failed", "terminated"]
    assert post.left == [1, 0]
    assert "it may still bill on lambda" in post.sent[0].body
    assert f"`make down RUN={RUN_ID}`" in post.sent[0].body


def test_one_that_answers_again_soon_is_no_news(world: VirtualWorld, cloud: SilentCloud, post: Post) -> None:
    cloud.silence(world, until_s=DUE_S + TROUBLE_S / 2)

    guard_of(world, cloud, killed(world), receivers=RECEIVERS).watch()

    assert post.events == ["terminated", "failed"]


def test_a_guard_that_gives_up_says_so_after_it_has_said_that_it_tries(
    world: VirtualWorld, cloud: SilentCloud, post: Post
) -> None:
    cloud.silence(world, until_s=float("inf"))

    guard_of(world, cloud, killed(world), receivers=RECEIVERS, hard_end_s=HOUR_S).watch()

    assert post.events == ["failed", "failed"]
    assert "goes on trying" in post.sent[0].body
    assert "gives up" in post.sent[1].body


def test_a_held_machine_that_no_longer_exists_is_said(world: VirtualWorld, post: Post) -> None:
    script = Script(world, [(1.0, word("hold", HELD))], gone_s=2)

    over = guard_of(world, FakeCloud([]), script, Box(world, silent_from_s=0.0), receivers=RECEIVERS).watch()

    assert over == "the machine no longer exists"
    assert post.events == ["failed"]
    assert "its machine no longer exists on lambda" in post.sent[0].body


def test_that_nothing_bills_is_said_only_when_a_request_without_an_answer_was_looked_for_long_enough(
    world: VirtualWorld, cloud: FakeCloud, post: Post
) -> None:
    script = Script(world, [*beats(60), (61.0, {"word": "asks", "hard_end_s": 3 * HOUR_S})], gone_s=65)

    guard_of(world, cloud, script, receivers=RECEIVERS).watch()

    failed, terminated = post.sent
    assert (failed.event, terminated.event) == ("failed", "terminated")
    assert "lambda shows nothing of it, and its guard looks on" in failed.body


def test_a_notice_that_cannot_be_sent_ends_no_guard(
    world: VirtualWorld, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Sender, notice: Notice) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Sender, "send", broken)

    over = guard_of(world, cloud, killed(world), receivers=RECEIVERS).watch()

    assert cloud.there == []
    assert "shows nothing of the run" in over


def test_a_folder_that_was_deleted_is_not_made_again_for_a_note(
    world: VirtualWorld, cloud: FakeCloud, post: Post
) -> None:
    guard_of(world, cloud, killed(world), receivers=RECEIVERS, folder="/runs/gone").watch()

    assert post.events == ["terminated", "failed"]
    assert not world.disk.is_dir(Path("/runs/gone"))
