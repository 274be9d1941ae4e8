"""One account, one pace."""

from __future__ import annotations

import calendar
import contextlib
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.cloud_api.pacing import (
    Pace,
    Timer,
    clock_off,
    in_flight,
    retry_after_s,
    shared_pace,
    spent_window_s,
    with_shared_turns,
)
from runner.cloud_api.turns import FLIGHT_S, PATIENCE_S
from runner.errors import RateLimitedError
from runner.simulation.turns import HAIR_S
from runner.simulation.world import VirtualWorld
from runner.world import RealWorld
from tests.unit.runner.cloud_api.over_http import FakeTime, new_key


def ask(pace: Pace, timer: Timer, *, patience_s: float = PATIENCE_S) -> None:
    """Send a request that takes no time."""
    with in_flight((pace,), timer, patience_s=patience_s):
        pass


def test_the_first_request_goes_at_once_and_the_next_ones_wait() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 1.0)

    for _ in range(3):
        ask(pace, time.timer)

    assert time.sleeps_s == [1.0, 1.0]


def test_time_that_has_passed_anyway_counts() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 1.0)
    ask(pace, time.timer)

    time.now_s += 0.75
    ask(pace, time.timer)

    assert time.sleeps_s == [0.25]


@pytest.mark.parametrize("is_lost", [False, True])
def test_the_next_request_is_counted_from_the_answer_or_from_when_it_was_given_up(is_lost: bool) -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 1.0)

    with contextlib.suppress(TimeoutError), in_flight((pace,), time.timer):
        time.now_s += 7.0
        if is_lost:
            raise TimeoutError
    ask(pace, time.timer)

    assert time.sleeps_s == [1.0]


@pytest.mark.parametrize("seed", range(5))
def test_ten_threads_share_one_pace(seed: int) -> None:
    flights = list[tuple[float, float]]()
    with VirtualWorld(seed) as world:
        pace = Pace(world, 1.0)

        def fly() -> None:
            with in_flight((pace,), Timer(world)):
                went_s = world.monotonic_s()
                world.sleep(world.chance.uniform(0.0, 3.0))
                flights.append((went_s, world.monotonic_s()))

        for task in [world.start(fly, name=f"thread-{number}") for number in range(10)]:
            assert task.join(3600.0)

    assert len(flights) == 10
    assert min(went_s - ended_s for (_, ended_s), (went_s, _) in itertools.pairwise(flights)) >= 1.0 - HAIR_S


def test_an_interval_of_nothing_lets_all_go_at_once() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 0.0)

    with in_flight((pace,), time.timer), in_flight((pace,), time.timer):
        pass

    assert time.sleeps_s == []


def test_a_hold_stops_everybody_until_it_is_over() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 1.0)

    pace.hold(time.timer, 12.0)
    ask(pace, time.timer)
    ask(pace, time.timer)

    assert time.sleeps_s == [12.0, 1.0]


def test_a_shorter_hold_does_not_cut_a_longer_one_short() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 0.0)

    pace.hold(time.timer, 12.0)
    pace.hold(time.timer, 3.0)
    ask(pace, time.timer)

    assert time.sleeps_s == [12.0]


def test_a_turn_that_is_too_far_off_is_an_error() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 0.0)
    pace.hold(time.timer, 60.0)

    with pytest.raises(RateLimitedError, match="waited 30 s"):
        ask(pace, time.timer, patience_s=30.0)

    assert time.sleeps_s == []


def test_a_queue_that_does_not_move_is_an_error() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 1.0)

    with in_flight((pace,), time.timer), pytest.raises(RateLimitedError):
        ask(pace, time.timer, patience_s=5.0)

    assert time.sleeps_s == [1.0] * 5


def test_a_thread_whose_answer_does_not_come_holds_the_others_for_some_seconds_only() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 1.0)

    with in_flight((pace,), time.timer):
        ask(pace, time.timer)
        assert sum(time.sleeps_s) == FLIGHT_S + 1.0
    ask(pace, time.timer)

    assert sum(time.sleeps_s) == FLIGHT_S + 2.0


def test_an_answer_that_comes_too_late_ends_nobody_elses_flight() -> None:
    time, pace, late = FakeTime(), Pace(RealWorld(), 1.0), contextlib.ExitStack()
    late.enter_context(in_flight((pace,), time.timer))

    with in_flight((pace,), time.timer):
        late.close()
        with pytest.raises(RateLimitedError):
            ask(pace, time.timer, patience_s=5.0)


def test_whoever_gives_up_leaves_the_queue_to_the_others() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 1.0)
    ask(pace, time.timer)

    def give_up(pause_s: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(pace, Timer(time, give_up))
    ask(pace, time.timer)

    assert time.sleeps_s == [1.0]


def test_a_turn_is_taken_of_every_pace_or_of_none() -> None:
    time, account, lane = FakeTime(), Pace(RealWorld(), 1.0), _BusyAtLast(RealWorld(), 12.0)

    with in_flight((account, lane), time.timer):
        assert (account.wait_s(time.now_s), lane.wait_s(time.now_s)) == (1.0, 12.0)

    assert lane.free_s == [0.0]
    assert time.sleeps_s == [12.0]


class _BusyAtLast(Pace):
    """A lane in which somebody is faster once, after it has been looked at."""

    def __init__(self, world: RealWorld, interval_s: float) -> None:
        super().__init__(world, interval_s)
        self.free_s = list[float]()

    def take(self, now_s: float) -> float:
        if self.free_s:
            return super().take(now_s)
        self.free_s.append(self.wait_s(now_s))
        return 12.0


def test_two_clients_of_one_account_have_one_pace() -> None:
    world = RealWorld()
    first = shared_pace(world, "lambda", "one-key", "all", 1.0)

    assert shared_pace(world, "lambda", "one-key", "all", 1.0) is first
    assert shared_pace(world, "lambda", "another-key", "all", 1.0) is not first
    assert shared_pace(world, "lambda", "one-key", "launch", 12.0) is not first
    assert shared_pace(world, "runpod", "one-key", "all", 1.0) is not first


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Sat, 21 Nov 2026 07:00:30 GMT", "date": "Sat, 21 Nov 2026 07:00:00 GMT"}, 30.0),
        ({"retry-after": "Sat, 21 Nov 2026 06:59:00 GMT", "date": "Sat, 21 Nov 2026 07:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], expected_s: float | None) -> None:
    assert retry_after_s(headers, datetime(2026, 11, 21, 7, tzinfo=UTC)) == expected_s


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [
        ('"minute";r=0;t=12, "hour";r=2984;t=1832, "day";r=49000;t=80000', 12.0),
        ('"minute";r=0;t=12, "hour";r=0;t=1832', 1832.0),
        ('"minute";r=1;t=12', 0.0),
        ('"minute"; r=0; t=7', 7.0),
        ("nonsense", 0.0),
        ("", 0.0),
    ],
)
def test_a_spent_window_of_runpod_says_when_it_opens(header: str, expected_s: float) -> None:
    assert spent_window_s({"ratelimit": header}) == expected_s


class Process(FakeTime):
    """One of several processes of a computer, whose clock all share."""

    def __init__(self, folder: Path, clock: FakeTime | None = None) -> None:
        super().__init__()
        self._clock = clock
        self._folder = folder
        self.on_sleep: Callable[[], None] = lambda: None

    @property
    def environ(self) -> dict[str, str]:
        return with_shared_turns({}, self._folder)

    def monotonic_s(self) -> float:
        return self.now_s if self._clock is None else self._clock.now_s

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self._clock is not None:
            self._clock.now_s += seconds
        self.on_sleep()


def two_processes(folder: Path) -> tuple[Process, Pace, Process, Pace]:
    first = Process(folder)
    second = Process(folder, first)
    key = new_key()
    return (
        first,
        shared_pace(first, "lambda", key, "all", 1.0),
        second,
        shared_pace(second, "lambda", key, "all", 1.0),
    )


def test_two_processes_take_turns(tmp_path: Path) -> None:
    first, pace, second, other = two_processes(tmp_path / "pace")

    ask(pace, first.timer)
    ask(other, second.timer)
    ask(pace, first.timer)

    assert (first.sleeps_s, second.sleeps_s) == ([1.0], [1.0])


def test_a_request_that_goes_long_after_its_turn_keeps_another_process_back_until_its_answer(tmp_path: Path) -> None:
    first, pace, second, other = two_processes(tmp_path)
    went_s = list[float]()

    def meanwhile(pause_s: float) -> None:
        second.sleep(pause_s)
        went_s.append(first.now_s)
        if len(went_s) == 3:
            slow.close()

    slow = contextlib.ExitStack()
    slow.enter_context(in_flight((pace,), first.timer))
    first.now_s += 0.5
    ask(other, Timer(second, meanwhile))

    assert went_s == [1001.5, 1002.5, 1003.5, 1004.5]


@pytest.mark.parametrize("interval_s", [0.2, 1.0, 12.0])
def test_a_process_that_was_killed_in_flight_holds_others_for_some_seconds_only(
    tmp_path: Path, interval_s: float
) -> None:
    first = Process(tmp_path)
    second = Process(tmp_path, first)
    killed, other = (shared_pace(one, "lambda", "a-key", "all", interval_s) for one in (first, second))
    assert killed.take(first.now_s) == 0.0

    ask(other, second.timer)
    ask(other, second.timer)

    assert sum(second.sleeps_s) == pytest.approx(FLIGHT_S + 2 * interval_s)


def test_what_a_cloud_says_in_flight_holds_everybody_past_the_answer(tmp_path: Path) -> None:
    first, pace, second, other = two_processes(tmp_path)

    with in_flight((pace,), first.timer):
        pace.hold(first.timer, 30.0)
    ask(other, second.timer)
    ask(pace, first.timer)

    assert (second.sleeps_s, first.sleeps_s) == ([30.0], [1.0])


def test_what_another_process_is_told_in_flight_holds_past_the_answer(tmp_path: Path) -> None:
    first, pace, second, other = two_processes(tmp_path)

    with in_flight((pace,), first.timer):
        other.hold(second.timer, 30.0)
    ask(pace, first.timer)

    assert sum(first.sleeps_s) == 30.0


def test_what_a_cloud_says_to_one_process_holds_the_other(tmp_path: Path) -> None:
    first, pace, second, other = two_processes(tmp_path)

    pace.hold(first.timer, 12.0)
    ask(other, second.timer)

    assert second.sleeps_s == [12.0]


def test_a_hold_is_not_made_shorter_by_another_process(tmp_path: Path) -> None:
    first, pace, second, other = two_processes(tmp_path)

    pace.hold(first.timer, 12.0)
    other.hold(second.timer, 3.0)
    ask(pace, first.timer)

    assert first.sleeps_s == [12.0]


def test_a_hold_that_meets_another_process_with_the_lock_is_kept(tmp_path: Path) -> None:
    first, pace, second, other = two_processes(tmp_path)
    ask(pace, first.timer)
    (lock,) = tmp_path.glob("*.lock")
    held = contextlib.ExitStack()
    held.enter_context(first.disk.lock(lock))
    second.on_sleep = held.close

    other.hold(second.timer, 12.0)
    ask(pace, first.timer)

    assert second.sleeps_s == [0.05]
    assert sum(first.sleeps_s) == pytest.approx(11.95)


@pytest.mark.parametrize("content", ["", "no number", "1e9", "{boot} 1e9 1e9", "{boot} nan nan", "{boot} 1001.0",
                                     "another-boot 1009.0 1009.0"])  # fmt: skip
def test_a_damaged_turn_or_one_from_before_a_restart_holds_nobody(tmp_path: Path, content: str) -> None:
    first, pace, second, other = two_processes(tmp_path)
    ask(pace, first.timer)
    (turns,) = [path for path in tmp_path.iterdir() if path.suffix == ""]
    turns.write_text(content.format(boot=first.boot_id))

    ask(other, second.timer)

    assert second.sleeps_s == []


def test_a_folder_that_cannot_be_made_holds_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    first, pace, second, other = two_processes(tmp_path / "file" / "pace")

    ask(pace, first.timer)
    ask(other, second.timer)

    assert second.sleeps_s == []


def test_a_process_that_was_stopped_with_the_lock_in_its_hands_holds_others_for_a_second_only(tmp_path: Path) -> None:
    first, pace, second, other = two_processes(tmp_path)
    ask(pace, first.timer)
    (lock,) = tmp_path.glob("*.lock")
    first.now_s += 1.0

    with first.disk.lock(lock):
        ask(other, second.timer)

    assert sum(second.sleeps_s) == pytest.approx(0.95)


@pytest.mark.parametrize(
    "date", ["Mon, 01 Jan 99999999999999 00:00:00 GMT", "Mon, 01 Jan 2026 00:00:00 +99999999999999999999"]
)
def test_a_date_that_no_calendar_has_says_nothing(date: str) -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)

    assert retry_after_s({"retry-after": date}, now) is None
    assert clock_off({"date": date}, now) is None


@pytest.mark.parametrize(
    ("date", "off"),
    [
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Sun, 21 Nov 2027 00:00:00 GMT", timedelta(days=365)),
        ("Sat, 21 Nov 2026 00:00:30 GMT", timedelta()),
        ("Sat, 21 Nov 2026 00:02:00 GMT", timedelta(minutes=2)),
        ("Fri, 20 Nov 2026 22:00:00 GMT", -timedelta(hours=2)),
    ],
)
def test_a_clouds_clock_counts_unless_no_clock_can_show_that(date: str, off: timedelta | None) -> None:
    """By the last hour of the calendar the end of every machine in use has passed, and a sweep would terminate it."""
    assert clock_off({"date": date}, datetime(2026, 11, 21, tzinfo=UTC)) == off


@pytest.mark.parametrize("month", calendar.month_abbr[1:])
@pytest.mark.parametrize("day", ["00", "01", "30", "31"])
@pytest.mark.parametrize("time", ["00:00:00", "23:59:59", "24:00:00", "12:00:60"])
def test_a_date_as_servers_write_it_is_read_as_in_any_other_form(month: str, day: str, time: str) -> None:
    given, now = f"{day} {month} 2026 {time}", datetime(2026, 6, 21, tzinfo=UTC)

    assert clock_off({"date": f"Sat, {given} GMT"}, now) == clock_off({"date": f"{given} +0000"}, now)


def test_more_digits_than_python_makes_an_int_of_are_many_requests_left() -> None:
    assert spent_window_s({"ratelimit": f'"minute";r={"9" * 5000};t=30'}) == 0.0
