"""One account, one pace."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.cloud_api.pacing import (
    Pace,
    Timer,
    clock_off,
    retry_after_s,
    shared_pace,
    spent_window_s,
    with_shared_turns,
)
from runner.errors import RateLimitedError
from runner.world import RealWorld
from tests.unit.runner.cloud_api.over_http import FakeTime, new_key


def test_the_first_request_goes_at_once_and_the_next_ones_wait() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 1.0)

    for _ in range(3):
        pace.wait(time.timer)

    assert time.sleeps_s == [1.0, 1.0]


def test_time_that_has_passed_anyway_counts() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 1.0)
    pace.wait(time.timer)

    time.now_s += 0.75
    pace.wait(time.timer)

    assert time.sleeps_s == [0.25]


def test_ten_threads_share_one_pace() -> None:
    time, pace, went_s = FakeTime(), Pace(RealWorld(), 1.0), list[float]()

    def ask() -> None:
        pace.wait(time.timer)
        went_s.append(time.now_s)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=240)

    assert sum(time.sleeps_s) == pytest.approx(9.0)
    assert len(went_s) == 10


def test_a_hold_stops_everybody_until_it_is_over() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 1.0)

    pace.hold(time.timer, 12.0)
    pace.wait(time.timer)
    pace.wait(time.timer)

    assert time.sleeps_s == [12.0, 1.0]


def test_a_shorter_hold_does_not_cut_a_longer_one_short() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 0.0)

    pace.hold(time.timer, 12.0)
    pace.hold(time.timer, 3.0)
    pace.wait(time.timer)

    assert time.sleeps_s == [12.0]


def test_a_turn_that_is_too_far_off_is_an_error() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 0.0)
    pace.hold(time.timer, 60.0)

    with pytest.raises(RateLimitedError, match="waited 30 s"):
        pace.wait(time.timer, patience_s=30.0)

    assert time.sleeps_s == []


def test_a_queue_that_does_not_move_is_an_error() -> None:
    time, pace, sleeping, over = FakeTime(), Pace(RealWorld(), 1.0), threading.Event(), threading.Event()
    pace.wait(time.timer)

    def stuck(pause_s: float) -> None:
        sleeping.set()
        over.wait(240)
        time.sleep(pause_s)

    other = threading.Thread(target=pace.wait, args=(Timer(time, stuck),))
    other.start()
    assert sleeping.wait(240)
    try:
        with pytest.raises(RateLimitedError):
            pace.wait(time.timer, patience_s=0.01)
    finally:
        over.set()
        other.join(timeout=240)


def test_whoever_gives_up_leaves_the_queue_to_the_others() -> None:
    time, pace = FakeTime(), Pace(RealWorld(), 1.0)
    pace.wait(time.timer)

    def give_up(pause_s: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pace.wait(Timer(time, give_up))
    pace.wait(time.timer)

    assert time.sleeps_s == [1.0]


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

    @property
    def environ(self) -> dict[str, str]:
        return with_shared_turns({}, self._folder)

    def monotonic_s(self) -> float:
        return self.now_s if self._clock is None else self._clock.now_s

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self._clock is not None:
            self._clock.now_s += seconds


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

    pace.wait(first.timer)
    other.wait(second.timer)
    pace.wait(first.timer)

    assert (first.sleeps_s, second.sleeps_s) == ([pytest.approx(1.0)], [pytest.approx(1.0)])


def test_what_a_cloud_says_to_one_process_holds_the_other(tmp_path: Path) -> None:
    first, pace, second, other = two_processes(tmp_path)

    pace.hold(first.timer, 12.0)
    other.wait(second.timer)

    assert second.sleeps_s == [pytest.approx(12.0)]


def test_a_hold_is_not_made_shorter_by_another_process(tmp_path: Path) -> None:
    first, pace, second, other = two_processes(tmp_path)

    pace.hold(first.timer, 12.0)
    other.hold(second.timer, 3.0)
    pace.wait(first.timer)

    assert first.sleeps_s == [12.0]


@pytest.mark.parametrize("content", ["", "no number", "1e9", "nan"])
def test_a_damaged_turn_or_one_from_before_a_restart_holds_nobody(tmp_path: Path, content: str) -> None:
    first, pace, second, other = two_processes(tmp_path)
    pace.wait(first.timer)
    (turns,) = [path for path in tmp_path.iterdir() if path.suffix == ""]
    turns.write_text(content)

    other.wait(second.timer)

    assert second.sleeps_s == []


def test_a_folder_that_cannot_be_made_holds_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    first, pace, second, other = two_processes(tmp_path / "file" / "pace")

    pace.wait(first.timer)
    other.wait(second.timer)

    assert second.sleeps_s == []


def test_a_process_that_was_stopped_with_the_lock_in_its_hands_holds_others_for_a_second_only(tmp_path: Path) -> None:
    first, pace, second, other = two_processes(tmp_path)
    pace.wait(first.timer)
    (lock,) = tmp_path.glob("*.lock")

    with first.disk.lock(lock):
        other.wait(second.timer)

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


def test_more_digits_than_python_makes_an_int_of_are_many_requests_left() -> None:
    assert spent_window_s({"ratelimit": f'"minute";r={"9" * 5000};t=30'}) == 0.0
