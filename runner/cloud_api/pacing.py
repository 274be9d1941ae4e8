"""How fast a cloud may be asked: one pace for an account, whoever of a run's processes asks."""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runner.cloud_api.turns import PATIENCE_S, Schedule, Turns
from runner.errors import RateLimitedError
from runner.world import World

PACE_FOLDER = "DOUSE_PACE_FOLDER"
"""Variable with the folder where the processes of this computer say when an account may be asked next: the runner looks
at a cloud while our Terraform provider, a process of its own, rents there."""
LEAST_OFF = timedelta(minutes=1)
"""A smaller difference may be the way of the answer, and a ``Date`` has whole seconds."""
BORN, BEYOND = datetime(2026, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""No cloud's clock shows a time from before this program, or beyond this century: by such a one all would be over."""
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FIXED_DATE = re.compile(
    rf"[A-Z][a-z]{{2}}, (\d\d) ({'|'.join(MONTHS)}) ([1-9]\d{{3}}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII
)
WINDOW = re.compile(r'"[^"]*"((?:\s*;\s*[a-z]+=-?\d+)+)')


@dataclass(frozen=True)
class Timer:
    """The clock and the way to wait.

    Attributes:
        world: Where time passes.
        pause: Waits so many seconds in place of the world's sleep; it may raise to give the whole request up, but may
            not just return early.
    """

    world: World
    pause: Callable[[float], None] | None = None

    def clock(self) -> float:
        """Return seconds since some moment; they never go back."""
        return self.world.monotonic_s()

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
        (self.pause or self.world.sleep)(seconds)


class Pace:
    """A queue: one request at a time and every ``interval_s`` seconds, and none while the cloud has said to wait."""

    def __init__(self, world: World, interval_s: float, turns: Turns | None = None) -> None:
        """Let the first request go at once.

        Args:
            world: Where time passes.
            interval_s: Seconds from the answer to a request to the next one; 0 for requests that need not wait for any.
            turns: What other processes have taken, if any others ask.
        """
        self._interval_s, self._turns = interval_s, turns
        self._own, self._lock = Schedule(), world.lock()

    def wait_s(self, now_s: float) -> float:
        """Return the seconds to wait before looking again, 0 where a request may go now."""
        with self._lock:
            own_s = self._own.wait_s(now_s, self._interval_s)
        if own_s > 0 or self._turns is None or self._interval_s == 0:
            return own_s
        return self._turns.look(now_s).wait_s(now_s, self._interval_s)

    def take(self, now_s: float) -> float:
        """Take the turn, and return 0; or return the seconds to wait before looking again, where there is none now."""
        with self._lock:
            wait_s = self._own.wait_s(now_s, self._interval_s)
            if wait_s > 0 or self._interval_s == 0:
                return wait_s
            if self._turns is not None:
                said = self._turns.change(now_s, lambda schedule: schedule.taken(now_s, self._interval_s))
                wait_s = said.wait_s(now_s, self._interval_s)
            if wait_s == 0:
                self._own = self._own.taken(now_s, self._interval_s)
            return wait_s

    def give_back(self, went_s: float) -> None:
        """Give back a turn that was taken then, and by which nothing goes."""
        self._change(went_s, lambda schedule: schedule.landed(went_s, self._interval_s))

    def land(self, went_s: float, now_s: float) -> None:
        """Let the next request go ``interval_s`` from now at the earliest: the one that went then has been answered."""
        if self._interval_s > 0:
            next_s = now_s + self._interval_s
            self._change(now_s, lambda schedule: schedule.landed(went_s, self._interval_s).held(next_s))

    def hold(self, timer: Timer, pause_s: float) -> None:
        """Let nobody ask for so many seconds from now."""
        now_s = timer.clock()
        self._change(now_s, lambda schedule: schedule.held(now_s + pause_s))

    def _change(self, now_s: float, change: Callable[[Schedule], Schedule]) -> None:
        with self._lock:
            self._own = change(self._own)
        if self._turns is not None:
            self._turns.change(now_s, change)


@contextlib.contextmanager
def in_flight(paces: Sequence[Pace], timer: Timer, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Wait until a request may go by every pace, and keep the others back until its answer, which ends the block.

    Where between going and the answer the cloud sees it nobody knows, and it may go long after its turn, on a machine
    that is busy. So the next one, of whatever process, is counted from the answer.

    Args:
        paces: What it has to keep, the one that is asked most first: its turn is given back where another has none.
        timer: The clock and the way to wait.
        patience_s: How long it may wait.

    Raises:
        RateLimitedError: If the turn does not come within ``patience_s``.
    """
    went_s = _turn(paces, timer, patience_s)
    try:
        yield
    finally:
        now_s = timer.clock()
        for pace in paces:
            pace.land(went_s, now_s)


def _turn(paces: Sequence[Pace], timer: Timer, patience_s: float) -> float:
    """Wait until every pace has a turn, take all of them at once, and return when that was."""
    last_s = timer.clock() + patience_s
    while True:
        now_s = timer.clock()
        delay_s = max(pace.wait_s(now_s) for pace in paces) or _taken(paces, now_s)
        if delay_s == 0:
            return now_s
        if now_s + delay_s > last_s:
            raise _too_long(patience_s)
        timer.sleep(delay_s)


def _taken(paces: Sequence[Pace], now_s: float) -> float:
    """Take the turns of all paces, and return 0; or take none, and return the seconds to wait before looking again."""
    for number, pace in enumerate(paces):
        if (wait_s := pace.take(now_s)) > 0:
            for taken in paces[:number]:
                taken.give_back(now_s)
            return wait_s
    return 0.0


def shared_pace(world: World, cloud: str, api_key: str, lane: str, interval_s: float) -> Pace:
    """Return the pace of an account: everybody in this process shares it and, with a folder, those in others."""
    account = hashlib.sha256(api_key.encode()).hexdigest()
    folder = world.environ.get(PACE_FOLDER)
    name = hashlib.sha256(f"{account} {lane} {interval_s}".encode()).hexdigest()[:16]
    turns = Turns(world, Path(folder, f"{cloud}-{name}")) if folder else None
    return world.shared((Pace, cloud, account, lane, interval_s), lambda: Pace(world, interval_s, turns))


def with_shared_turns(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return an environment whose processes share their turns in a folder, unless it names one."""
    return {PACE_FOLDER: str(folder), **environ}


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, as a number or as a date, or ``None``.

    Args:
        headers: The answer's, their names in lower case.
        now: The time of day, for an answer that does not say what its own clock shows.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    until, since = _date(value), _date(headers.get("date", "")) or now
    return max(0.0, (until - since).total_seconds()) if until is not None else None


def clock_off(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return how far the cloud's clock is ahead of this computer's, by the ``Date`` of its answer.

    Args:
        headers: The answer's, their names in lower case.
        now: The time of day as this computer has it.

    Returns:
        Nothing less than a minute counts as off; ``None`` where the answer has no date, or one that no clock shows.
    """
    there = _date(headers.get("date", ""))
    if there is None or not BORN <= there < BEYOND:
        return None
    off = there - now
    return off if abs(off) >= LEAST_OFF else timedelta()


def spent_window_s(headers: Mapping[str, str]) -> float:
    """Return the seconds until the longest spent window of a ``RateLimit`` header opens again, 0 when none is spent."""
    waits = [0.0]
    for window in WINDOW.finditer(headers.get("ratelimit", "")):
        numbers = dict(part.strip().split("=") for part in window.group(1).strip(" ;").split(";"))
        if float(numbers.get("r", "1")) <= 0:  # Python makes no int of more than 4,300 digits
            waits.append(float(numbers.get("t", "0")))
    return max(waits)


def _date(value: str) -> datetime | None:
    """Return a date as HTTP writes it; every answer has one, so the form that servers have to use is read at once."""
    fixed = FIXED_DATE.fullmatch(value)
    try:
        if fixed is not None:
            day, month, year, hour, minute, second = fixed.groups()
            return datetime(
                int(year), MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC
            )
        found = email.utils.parsedate_to_datetime(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _too_long(patience_s: float) -> RateLimitedError:
    return RateLimitedError(
        f"too many requests wait for their turn: this one waited {patience_s:.0f} s",
        resolution="start fewer runs at a time on this account",
    )
