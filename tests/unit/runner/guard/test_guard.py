"""When a machine goes because nobody else is left to terminate it, and when the guard does nothing at all."""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from runner.cloud_api.models import Listing, Status
from runner.errors import AccountError, CloudError, CloudUnavailableError, ConnectionLostError
from runner.guard.guard import Guard
from runner.guard.words import Facts, Held, line_of
from runner.run.models import Host, TrainerState
from runner.simulation.world import VirtualWorld
from tests.unit.runner.fake_cloud import RUN_ID, FakeCloud, thing
from tests.unit.runner.guard.conftest import FOLDER

LEASE_S, SAVING_S = 900.0, 60.0
HOUR_S = 3600.0
BEAT_S = 20.0
FACTS = Facts(RUN_ID, "lambda", str(FOLDER), LEASE_S, SAVING_S, 3 * HOUR_S, "https://cloud.lambda.ai/api/v1")
HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 1.0, None, "lambda")
HELD = Held(2 * HOUR_S, 600.0, HOST, "/home/ubuntu/.douse/runs/x", "key", "known")
DOWN = CloudUnavailableError("lambda: no answer", resolution="-")
REFUSED = AccountError("lambda: the key is refused", resolution="-", code="401", status=401)
AWAY = ConnectionLostError("ssh: cannot reach it", resolution="-")


@dataclass
class Script:
    """What a runner says, each word at its second, and when it is gone."""

    world: VirtualWorld
    said: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    gone_s: float = float("inf")

    @property
    def has_ended(self) -> bool:
        return self.world.boottime_s() >= self.gone_s

    def next(self, timeout_s: float) -> list[dict[str, Any]]:
        now_s = self.world.boottime_s()
        moments = [now_s + timeout_s, *(at for at, _ in self.said), *([] if self.has_ended else [self.gone_s])]
        self.world.sleep(max(0.0, min(moments) - now_s))
        due = [word for at, word in self.said if at <= self.world.boottime_s()]
        self.said = self.said[len(due) :]
        return due


@dataclass
class Box:
    """A machine of which the trainer's state is known by the time."""

    world: VirtualWorld
    ended_s: float = float("inf")
    silent_from_s: float = float("inf")
    trouble: Exception = AWAY
    ended: TrainerState = "exited"
    again_s: float = float("inf")
    asked: int = 0

    def __call__(self, held: Held) -> TrainerState:
        self.asked += 1
        if self.world.boottime_s() >= self.silent_from_s:
            raise self.trouble
        return self.ended if self.ended_s <= self.world.boottime_s() < self.again_s else "running"


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud([thing()])


def beats(until_s: float) -> list[tuple[float, dict[str, Any]]]:
    return [(at * BEAT_S, {"word": "alive"}) for at in range(1, int(until_s / BEAT_S) + 1)]


def word(name: str, content: Held | None = None) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(line_of(name, content))
    return said


def guard_of(world: VirtualWorld, cloud: FakeCloud, script: Script, box: Box | None = None, **changes: Any) -> Guard:
    return Guard(replace(FACTS, **changes), cloud, world, script, box or Box(world))


def log_of(world: VirtualWorld) -> str:
    return world.disk.read(FOLDER / "logs" / "guard.log").decode()


def test_the_machine_goes_when_its_runner_is_gone_and_the_lease_has_run_out(
    world: VirtualWorld, cloud: FakeCloud
) -> None:
    over = guard_of(world, cloud, Script(world, beats(60), gone_s=65)).watch()

    assert cloud.there == []
    assert over.startswith("the runner is gone: no word for 16.0 minutes; instance i-1:")
    assert world.boottime_s() <= 60 + LEASE_S + SAVING_S + 180  # the looks after it included


def test_it_goes_no_sooner_than_that(world: VirtualWorld, cloud: FakeCloud) -> None:
    asked_at: list[float] = []
    cloud.end = lambda resource: asked_at.append(world.boottime_s()) or FakeCloud.end(cloud, resource)  # type: ignore[method-assign]

    guard_of(world, cloud, Script(world, beats(60), gone_s=65)).watch()

    assert 60 + LEASE_S + SAVING_S <= asked_at[0] <= 60 + LEASE_S + SAVING_S + 1


def test_it_waits_as_long_as_the_runner_says_that_the_machine_saves(world: VirtualWorld, cloud: FakeCloud) -> None:
    saves = json.loads(line_of("saves", saving_s=600.0))

    guard_of(world, cloud, Script(world, [(1.0, saves)], gone_s=2)).watch()

    assert cloud.there == []
    assert 1.0 + LEASE_S + 600.0 <= world.boottime_s() <= 1.0 + LEASE_S + 600.0 + 180


def test_a_runner_that_is_stopped_or_hangs_counts_by_its_last_word(world: VirtualWorld, cloud: FakeCloud) -> None:
    over = guard_of(world, cloud, Script(world, beats(60))).watch()

    assert cloud.there == []
    assert over.startswith("the runner does nothing: no word for 16.0 minutes")


def test_beside_a_living_runner_it_does_nothing_and_asks_the_cloud_nothing(
    world: VirtualWorld, cloud: FakeCloud
) -> None:
    script = Script(world, [*beats(2 * HOUR_S), (2 * HOUR_S + 1, word("over"))])

    over = guard_of(world, cloud, script).watch()

    assert "its runner has seen that nothing is left" in over
    assert (cloud.looks, cloud.there, world.boottime_s()) == (0, [thing()], 2 * HOUR_S + 1)


def test_past_the_hard_end_no_word_keeps_the_machine(world: VirtualWorld, cloud: FakeCloud) -> None:
    over = guard_of(world, cloud, Script(world, beats(4 * HOUR_S))).watch()

    assert over.startswith("the hard end has passed")
    assert cloud.there == []
    assert world.boottime_s() < 3 * HOUR_S + 200


def test_a_request_moves_the_hard_end_from_the_moment_it_is_made(world: VirtualWorld, cloud: FakeCloud) -> None:
    """A resumed run has planned another machine, for other dollars."""
    asks = [(1000.0, json.loads(line_of("asks", hard_end_s=1800.0))), (1001.0, word("rented"))]

    over = guard_of(world, cloud, Script(world, sorted([*beats(HOUR_S), *asks], key=lambda one: one[0]))).watch()

    assert over.startswith("the hard end has passed")
    assert 2800.0 <= world.boottime_s() <= 2800.0 + 180


def test_seconds_that_this_computer_slept_before_count_for_nothing(world: VirtualWorld, cloud: FakeCloud) -> None:
    world.fall_asleep(2 * HOUR_S)
    began_s = world.boottime_s()

    guard_of(world, cloud, Script(world, gone_s=began_s + 5)).watch()

    assert cloud.there == []
    assert world.boottime_s() >= began_s + LEASE_S + SAVING_S


def test_seconds_that_this_computer_slept_count(world: VirtualWorld, cloud: FakeCloud) -> None:
    script = Script(world, beats(60), gone_s=65)
    guard = guard_of(world, cloud, script)
    said = script.next

    def sleeping(timeout_s: float) -> list[dict[str, Any]]:
        if 100 < world.boottime_s() < 200:
            world.fall_asleep(2 * HOUR_S)
        return said(timeout_s)

    script.next = sleeping  # type: ignore[method-assign]
    guard.watch()

    assert cloud.there == []
    assert world.monotonic_s() < 400


def test_a_runner_that_slept_with_this_computer_may_say_a_word_first(world: VirtualWorld, cloud: FakeCloud) -> None:
    """It wakes at the same moment: what the machine has saved comes home before it goes."""
    script = Script(world, beats(60))
    guard = guard_of(world, cloud, script)
    said = script.next

    def sleeping(timeout_s: float) -> list[dict[str, Any]]:
        if world.boottime_s() == 60:
            world.fall_asleep(HOUR_S)
            script.said = [(60 + HOUR_S + 20, word("alive")), (60 + HOUR_S + 30, word("over"))]
        return said(timeout_s)

    script.next = sleeping  # type: ignore[method-assign]

    assert "nothing is left" in guard.watch()
    assert cloud.asked_to_end == []


def test_so_may_one_that_was_paused_with_this_computer_where_no_clock_shows_a_sleep(
    world: VirtualWorld, cloud: FakeCloud
) -> None:
    """A virtual machine or a container that is paused: both clocks go on, and nobody in it runs."""
    script = Script(world, beats(60))
    guard = guard_of(world, cloud, script)
    said = script.next

    def paused(timeout_s: float) -> list[dict[str, Any]]:
        if world.boottime_s() == 60:
            world.sleep(HOUR_S)
            script.said = [(60 + HOUR_S + 20, word("alive")), (60 + HOUR_S + 30, word("over"))]
            return []
        return said(timeout_s)

    script.next = paused  # type: ignore[method-assign]

    assert "nothing is left" in guard.watch()
    assert cloud.asked_to_end == []


class Elsewhere(FakeCloud):
    """A machine whose lease a runner on another computer moves at the cloud, for so many seconds; then no more."""

    def __init__(self, world: VirtualWorld, until_s: float, lease_s: float) -> None:
        super().__init__([thing()], clock_off=timedelta(hours=5))
        self.world, self.until_s, self.lease_s = world, until_s, lease_s

    def listing(self) -> Listing:
        moved = self.world.now() - timedelta(seconds=max(0.0, self.world.boottime_s() - self.until_s))
        lease_until = moved + timedelta(seconds=self.lease_s) + self.clock_off
        self.there = [replace(found, lease_until=lease_until) for found in self.there]
        return super().listing()


def test_a_machine_that_a_runner_on_another_computer_keeps_goes_after_that(world: VirtualWorld) -> None:
    """`make watch` there, after the runner here was killed: the cloud shows a lease that is newer than ours."""
    cloud = Elsewhere(world, 2 * HOUR_S, LEASE_S * 4 / 3)

    guard_of(world, cloud, Script(world, beats(60), gone_s=65)).watch()

    assert cloud.there == []
    assert 2 * HOUR_S < world.boottime_s() <= 2 * HOUR_S + 2 * (LEASE_S + SAVING_S) + 180
    assert "another runner keeps the machine" in log_of(world)


def renew(world: VirtualWorld, said_at: datetime, word: str = "renew") -> None:
    said = {"word": word, "said_at": said_at.isoformat(), "listener": "runs"}
    world.disk.write(FOLDER / "lease.json", json.dumps(said).encode())


def test_a_machine_whose_lease_another_runner_here_renews_goes_after_that(
    world: VirtualWorld, cloud: FakeCloud
) -> None:
    """A run that was resumed while its older guard could not be seen: two guards, of which one hears the runner."""
    script = Script(world, beats(60), gone_s=65)
    heard = script.next

    def beside(timeout_s: float) -> list[dict[str, Any]]:
        if world.boottime_s() <= 2 * HOUR_S:
            renew(world, world.now())
        return heard(timeout_s)

    script.next = beside  # type: ignore[method-assign]

    guard_of(world, cloud, script).watch()

    assert cloud.there == []
    assert 2 * HOUR_S + LEASE_S <= world.boottime_s() <= 2 * HOUR_S + LEASE_S + SAVING_S + 200
    assert "another runner keeps the machine: it has renewed the lease since" in log_of(world)


@pytest.mark.parametrize(
    ("word", "after_s"), [("renew", -4.0), ("renew", 9 * HOUR_S), ("hold", -4.0), ("hold", 9 * HOUR_S), ("renew", None)]
)
def test_a_word_that_is_old_or_of_another_time_keeps_none(
    word: str, after_s: float | None, world: VirtualWorld, cloud: FakeCloud
) -> None:
    renew(world, world.now() + timedelta(seconds=after_s or 0.0), word)
    if after_s is None:
        world.disk.write(FOLDER / "lease.json", b'{"word": "ren')

    guard_of(world, cloud, Script(world, beats(60), gone_s=65)).watch()

    assert cloud.there == []
    assert world.boottime_s() <= 60 + LEASE_S + SAVING_S + 180


def test_a_run_that_another_runner_here_has_left_to_its_guard_stays_to_the_hard_end(
    world: VirtualWorld, cloud: FakeCloud
) -> None:
    renew(world, world.now() + timedelta(seconds=100), "hold")

    guard_of(world, cloud, Script(world, beats(60), gone_s=65)).watch()

    assert cloud.there == []
    assert 3 * HOUR_S <= world.boottime_s() <= 3 * HOUR_S + 200
    assert "it has left the run to another guard" in log_of(world)


def test_a_hold_of_its_own_runner_that_was_killed_before_the_guard_heard_it_keeps_none(
    world: VirtualWorld, cloud: FakeCloud
) -> None:
    """The machine has heard it, and the run's folder has it: no other guard is there that would look after the run."""
    renew(world, world.now() + timedelta(seconds=64), "hold")

    guard_of(world, cloud, Script(world, beats(60), gone_s=65)).watch()

    assert cloud.there == []
    assert 60 + LEASE_S <= world.boottime_s() <= 60 + LEASE_S + SAVING_S + 180


def test_the_lease_that_the_launch_has_set_keeps_no_machine(world: VirtualWorld) -> None:
    """It is longer than any that a runner sets."""
    cloud = Elsewhere(world, 2 * HOUR_S, 2 * HOUR_S)

    guard_of(world, cloud, Script(world, beats(60), gone_s=65)).watch()

    assert world.boottime_s() <= 60 + LEASE_S + SAVING_S + 180


def test_nor_does_the_last_one_of_a_runner_that_is_gone(world: VirtualWorld) -> None:
    cloud = Elsewhere(world, 60, LEASE_S * 4 / 3)

    guard_of(world, cloud, Script(world, beats(60), gone_s=65)).watch()

    assert world.boottime_s() <= 60 + LEASE_S + SAVING_S + 180


@pytest.mark.parametrize("trouble", [DOWN, REFUSED], ids=["the network is away", "the key is refused"])
def test_it_tries_until_the_cloud_answers(trouble: CloudError, world: VirtualWorld, cloud: FakeCloud) -> None:
    cloud.listing_troubles = [trouble] * 300

    guard_of(world, cloud, Script(world, gone_s=1)).watch()

    assert cloud.there == []
    assert trouble.message in log_of(world)


def test_a_defect_of_its_own_does_not_end_it(world: VirtualWorld, cloud: FakeCloud) -> None:
    cloud.listing_troubles = [TypeError("odd")]  # type: ignore[list-item]

    guard_of(world, cloud, Script(world, gone_s=1)).watch()

    assert cloud.there == []
    assert "TypeError: odd" in log_of(world)


def test_a_day_after_the_hard_end_it_gives_up_and_says_where_to_look(world: VirtualWorld, cloud: FakeCloud) -> None:
    cloud.listing_troubles = [REFUSED] * 10_000

    over = guard_of(world, cloud, Script(world, gone_s=1)).watch()

    assert "look into the cloud's console" in over
    assert 27 * HOUR_S <= world.boottime_s() <= 27 * HOUR_S + 60


def test_what_is_left_of_a_termination_is_terminated_by_the_next_try(world: VirtualWorld, cloud: FakeCloud) -> None:
    cloud.ends_slowly = 400

    guard_of(world, cloud, Script(world, gone_s=1)).watch()

    assert cloud.there == []
    assert "still has instance i-1" in log_of(world)


def test_a_request_that_was_never_answered_is_looked_for_for_hours(world: VirtualWorld, cloud: FakeCloud) -> None:
    """Terraform may live on without its runner, and rent when the first machine was terminated."""
    cloud.there = []
    cloud.appears_at_look = {9: thing(resource_id="i-2")}
    script = Script(world, [(1, {"word": "asks", "hard_end_s": 3 * HOUR_S})], gone_s=2)

    guard_of(world, cloud, script).watch()

    assert cloud.asked_to_end == ["i-2"]
    assert LEASE_S + 2 * HOUR_S <= world.boottime_s() <= LEASE_S + 2 * HOUR_S + 900


def test_one_that_was_answered_is_not(world: VirtualWorld, cloud: FakeCloud) -> None:
    script = Script(world, [(1, {"word": "asks", "hard_end_s": 3 * HOUR_S}), (2, word("rented"))], gone_s=3)

    guard_of(world, cloud, script).watch()

    assert world.boottime_s() < LEASE_S + SAVING_S + 200


def test_a_held_run_goes_on_without_its_runner_until_training_has_ended(world: VirtualWorld, cloud: FakeCloud) -> None:
    script = Script(world, [(10, word("hold", HELD))], gone_s=20)

    over = guard_of(world, cloud, script, Box(world, ended_s=HOUR_S)).watch()

    assert over.startswith("training ended 10 minutes ago, and nobody came")
    assert cloud.there == []
    assert HOUR_S + 600 <= world.boottime_s() <= HOUR_S + 600 + 60 + 180


def test_a_trainer_that_was_killed_has_ended_too(world: VirtualWorld, cloud: FakeCloud) -> None:
    script = Script(world, [(10, word("hold", HELD))], gone_s=20)

    over = guard_of(world, cloud, script, Box(world, ended_s=HOUR_S, ended="lost")).watch()

    assert over.startswith("training ended 10 minutes ago, and nobody came")


def test_a_held_machine_on_which_nothing_begins_to_train_goes_too(world: VirtualWorld, cloud: FakeCloud) -> None:
    """As one that ends itself does: `configure` by hand, and nobody who launches."""
    script = Script(world, [(10, word("hold", HELD))], gone_s=20)

    over = guard_of(world, cloud, script, Box(world, ended_s=0, ended="none")).watch()

    assert over.startswith("nothing has trained for 10 minutes, and nobody came")
    assert cloud.there == []
    assert 10 + 600 <= world.boottime_s() <= 10 + 600 + 60 + 180


def test_a_training_that_began_and_ended_between_two_looks_counts_from_its_end(
    world: VirtualWorld, cloud: FakeCloud
) -> None:
    script = Script(world, [(10, word("hold", HELD))], gone_s=20)

    def states(_: Held) -> TrainerState:
        return "none" if world.boottime_s() < 500 else "exited"

    over = Guard(FACTS, cloud, world, script, states).watch()

    assert over.startswith("training ended 10 minutes ago")
    assert 500 + 600 <= world.boottime_s() <= 500 + 600 + 60 + 180


def test_the_cloud_shows_when_the_machine_of_an_ended_training_goes(world: VirtualWorld, cloud: FakeCloud) -> None:
    script = Script(world, [(10, word("hold", HELD))], gone_s=20)
    began = world.now()

    guard_of(world, cloud, script, Box(world, ended_s=HOUR_S)).watch()

    assert HOUR_S + 600 <= (cloud.leases["i-1"] - began).total_seconds() <= HOUR_S + 660


@pytest.mark.parametrize("box", [{"ended_s": 2 * HOUR_S - 300}, {"ended_s": HOUR_S, "again_s": HOUR_S + 300}])
def test_the_cloud_never_shows_more_than_the_hard_end_and_that_again_once_training_goes_on(
    world: VirtualWorld, cloud: FakeCloud, box: dict[str, float]
) -> None:
    script = Script(world, [(10, word("hold", HELD))], gone_s=20)
    began = world.now()

    guard_of(world, cloud, script, Box(world, **box)).watch()  # type: ignore[arg-type]

    assert (cloud.leases["i-1"] - began).total_seconds() == pytest.approx(2 * HOUR_S + 10, abs=1)


def test_a_held_run_that_trains_on_goes_at_its_hard_end(world: VirtualWorld, cloud: FakeCloud) -> None:
    over = guard_of(world, cloud, Script(world, [(10, word("hold", HELD))], gone_s=20)).watch()

    assert over.startswith("the hard end has passed")
    assert 2 * HOUR_S + 10 <= world.boottime_s() <= 2 * HOUR_S + 200


def test_a_machine_that_is_left_up_for_its_user_is_not_asked_and_stays(world: VirtualWorld, cloud: FakeCloud) -> None:
    """`make up` leaves one on which nothing trains yet."""
    box = Box(world, ended_s=0)

    guard_of(world, cloud, Script(world, [(10, word("hold", replace(HELD, prefix=None)))], gone_s=20), box).watch()

    assert box.asked == 0
    assert world.boottime_s() >= 2 * HOUR_S + 10


@pytest.mark.parametrize("status", [None, "running"])
def test_a_held_machine_that_no_longer_exists_needs_no_guard(
    status: Status | None, world: VirtualWorld, cloud: FakeCloud
) -> None:
    cloud.there = [] if status is None else [thing(status=status)]
    script = Script(world, [(10, word("hold", HELD))], gone_s=20)

    over = guard_of(world, cloud, script, Box(world, silent_from_s=HOUR_S)).watch()

    assert ("no longer exists" in over) == (status is None)
    assert (world.boottime_s() < HOUR_S + 400) == (status is None)


def test_a_disk_here_that_is_full_hides_neither_a_machine_that_is_gone_nor_the_end_of_one(
    world: VirtualWorld, cloud: FakeCloud
) -> None:
    """The key to log in with takes room for a moment."""
    full = Box(world, silent_from_s=HOUR_S, trouble=OSError(errno.ENOSPC, "No space left on device"))
    cloud.there = []

    over = guard_of(world, cloud, Script(world, [(10, word("hold", HELD))], gone_s=20), full).watch()

    assert "no longer exists" in over
    assert "cannot see how training stands: OSError: [Errno 28] No space left on device" in log_of(world)


def test_a_folder_that_was_deleted_is_not_made_again_and_the_machine_goes(
    world: VirtualWorld, cloud: FakeCloud
) -> None:
    world.disk.remove_tree(FOLDER)

    guard_of(world, cloud, Script(world, gone_s=1)).watch()

    assert cloud.there == []
    assert not world.disk.is_dir(FOLDER)


def test_its_last_finding_is_in_the_runs_folder(world: VirtualWorld, cloud: FakeCloud) -> None:
    over = guard_of(world, cloud, Script(world, gone_s=1)).watch()

    assert json.loads(world.disk.read(FOLDER / "guard.json"))["said"] == over
    assert log_of(world).splitlines()[-1].endswith(over)


def test_an_emulated_cloud_that_refuses_connections_is_over(world: VirtualWorld, cloud: FakeCloud) -> None:
    over = guard_of(world, cloud, Script(world, beats(HOUR_S)), endpoint="http://127.0.0.1:4000/api/v1").watch()

    assert over == "nobody answers at http://127.0.0.1:4000/api/v1: the emulated cloud is over"
    assert 60 <= world.boottime_s() <= 120


def test_one_that_refuses_a_connection_now_and_then_is_not(world: VirtualWorld, cloud: FakeCloud) -> None:
    address, opened = ("127.0.0.1", 4000), [40.0, 140.0]

    def flicker() -> None:
        for second in opened:
            world.sleep(second - world.monotonic_s())
            world.servers[address] = Mock
            world.sleep(50.0)
            del world.servers[address]

    world.start(flicker, name="cloud")
    script = Script(world, beats(HOUR_S))

    over = guard_of(world, cloud, script, endpoint="http://127.0.0.1:4000/api/v1").watch()

    assert "the emulated cloud is over" in over
    assert 190.0 + 60.0 <= world.boottime_s() <= 320


def test_one_that_is_over_ends_a_termination_too(world: VirtualWorld, cloud: FakeCloud) -> None:
    cloud.listing_troubles = [DOWN] * 300
    script = Script(world, gone_s=1)

    over = guard_of(world, cloud, script, endpoint="http://127.0.0.1:4000/api/v1", lease_s=5.0).watch()

    assert "the emulated cloud is over" in over
    assert world.boottime_s() <= 120
