"""The waits, on a clock that needs no time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from runner.errors import CloudUnavailableError, NotFoundError, RunInterruptedError
from runner.provider.resource import Ctx, ProblemError
from runner.provider.waiting import ASK_AGAIN_S, LAG_S, TROUBLE_S, Sighting, wait_until_gone, wait_until_up
from runner.simulation.world import VirtualWorld
from runner.world import Event

UP = Sighting("m1", "box", "active", "up", "a10", "west", 1.0, ("host", 22))
BOOTING = Sighting("m1", "box", "booting", "pending", "a10", "west", 1.0, None)
NONE = NotFoundError("cloud: there is no m1", resolution="x")
LOST = CloudUnavailableError("cloud: no answer", resolution="x")


@dataclass
class MadeUp:
    """A place that shows one sighting after the other, the last one for ever."""

    shows: list[Sighting | Exception]
    refusals: list[Exception] = field(default_factory=list)
    cloud: str = "cloud"
    ends: int = 0

    def look(self, machine_id: str) -> Sighting:
        found = self.shows.pop(0) if len(self.shows) > 1 else self.shows[0]
        if isinstance(found, Exception):
            raise found
        return found

    def terminate(self, machine_id: str) -> None:
        self.ends += 1
        if self.refusals:
            raise self.refusals.pop(0)


def up(site: MadeUp, world: VirtualWorld, answers: Callable[[str, int], bool] = lambda _host, _port: True) -> None:
    ctx = Ctx(world.event())
    wait_until_up(ctx, site, "m1", world, 1500.0, sshd_answers=answers, seen=lambda _sighting: None)


def test_a_new_machine_may_be_unknown_for_a_while() -> None:
    up(MadeUp([NONE, NONE, BOOTING, UP]), VirtualWorld())


def test_a_machine_that_stays_unknown_is_given_up() -> None:
    world = VirtualWorld()

    with pytest.raises(ProblemError, match="the cloud does not know it"):
        up(MadeUp([NONE]), world)

    assert LAG_S < world.monotonic_s() < LAG_S + 11


def test_a_machine_that_nobody_can_look_at_is_given_up_before_the_timeout() -> None:
    world = VirtualWorld()

    with pytest.raises(ProblemError, match="its state could not be read for 300 s: cloud: no answer"):
        up(MadeUp([BOOTING, LOST]), world)

    assert TROUBLE_S < world.monotonic_s() < TROUBLE_S + 22


def test_an_interrupted_look_says_that_the_machine_exists() -> None:
    with pytest.raises(ProblemError, match="m1 exists and bills"):
        up(MadeUp([RunInterruptedError("stop", resolution="x")]), VirtualWorld())


def test_a_machine_is_up_only_when_sshd_answers() -> None:
    answers = iter([False, False, True])

    up(MadeUp([UP]), VirtualWorld(), lambda _host, _port: next(answers))

    assert list(answers) == []


def test_the_wait_for_a_machine_ends_exactly_at_its_timeout() -> None:
    world = VirtualWorld()

    with pytest.raises(ProblemError, match="not up after 1500 s: it is booting"):
        up(MadeUp([BOOTING]), world)

    assert world.monotonic_s() == pytest.approx(1500)


def gone(site: MadeUp, world: VirtualWorld, stop: Event | None = None) -> None:
    wait_until_gone(Ctx(stop or world.event()), site, "m1", world, 600.0)


def test_a_machine_that_ends_unheard_is_asked_again_after_a_minute() -> None:
    site, world = MadeUp([UP]), VirtualWorld()

    with pytest.raises(ProblemError, match="m1 is still there after 600 s"):
        gone(site, world)

    assert site.ends == pytest.approx(600 / (ASK_AGAIN_S + 5), abs=2)


def test_trouble_is_outlasted_when_ending() -> None:
    site = MadeUp([LOST, UP, LOST, NONE], [LOST, LOST, LOST])

    gone(site, VirtualWorld())

    assert site.ends == 4


def test_a_machine_nobody_could_terminate_is_an_error_that_says_so() -> None:
    site = MadeUp([UP], [LOST] * 10_000)

    with pytest.raises(ProblemError) as caught:
        gone(site, VirtualWorld())

    assert "it may not have received the request to terminate" in (caught.value.details or "")


def test_stopped_before_the_end_was_heard_says_so() -> None:
    world = VirtualWorld()
    stop = world.event()
    stop.set()

    with pytest.raises(ProblemError, match="may not have received the request to terminate"):
        gone(MadeUp([UP], [LOST]), world, stop)
