"""How fast a cloud may be asked: one pace for an account, whoever of a run's processes asks."""

from __future__ import annotations

import email.utils
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runner.errors import RateLimitedError
from runner.world import LockedError, World

PACE_FOLDER = "DOUSE_PACE_FOLDER"
"""Variable with the folder where the processes of this computer say when an account may be asked next: the runner looks
at a cloud while our Terraform provider, a process of its own, rents there."""
PATIENCE_S = 600.0
"""How long a request may wait for its turn."""
LEAST_OFF = timedelta(minutes=1)
"""A smaller difference may be the way of the answer, and a ``Date`` has whole seconds."""
BORN, BEYOND = datetime(2026, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
"""No cloud's clock shows a time from before this program, or beyond this century: by such a one all would be over."""
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


class Turns:
    """The turns of one account that several processes share, in a file.

    Asking never depends on it: where the file cannot be read, written or locked, every process keeps its own pace.
    """

    LOCK_TRIES, LOCK_RETRY_S = 20, 0.05

    def __init__(self, world: World, path: Path) -> None:
        """Keep the place; nothing is there before the first turn."""
        self._disk, self._path, self._tries = world.disk, path, 0
        self._folder, self._lock = path.parent, path.with_suffix(".lock")

    def take(self, now_s: float, interval_s: float) -> float:
        """Return the seconds to wait before trying again, 0 where this turn is taken.

        Args:
            now_s: Seconds on the clock that all processes of this computer share; what is said from before its last
                start, and so too far ahead, does not count.
            interval_s: Seconds to the turn after this one.
        """
        return self._changed(lambda next_s: max(0.0, next_s - now_s), now_s, now_s + interval_s)

    def hold(self, now_s: float, until_s: float) -> None:
        """Let no process ask before ``until_s``."""
        self._changed(lambda next_s: max(0.0, next_s - until_s), now_s, until_s)

    def _changed(self, wait_s: Callable[[float], float], now_s: float, new_s: float) -> float:
        try:
            self._disk.make_folder(self._folder, mode=0o700)
            with self._disk.lock(self._lock):
                self._tries = 0
                left_s = wait_s(self._read(now_s))
                if left_s == 0.0:
                    self._disk.write(self._path, f"{new_s:.3f}\n".encode(), 0o600)
                return left_s
        except LockedError:
            self._tries += 1  # whoever holds it may have been stopped
            return self.LOCK_RETRY_S if self._tries < self.LOCK_TRIES else 0.0
        except OSError:
            return 0.0

    def _read(self, now_s: float) -> float:
        try:
            next_s = float(self._disk.read(self._path))
        except (FileNotFoundError, ValueError):
            return now_s
        return next_s if next_s - now_s <= PATIENCE_S else now_s


class Pace:
    """A queue: one request every ``interval_s`` seconds, and none while the cloud has said to wait."""

    def __init__(self, world: World, interval_s: float, turns: Turns | None = None) -> None:
        """Let the first request go at once.

        Args:
            world: Where time passes.
            interval_s: Seconds between two requests.
            turns: What other processes have taken, if any others ask.
        """
        self._interval_s, self._turns = interval_s, turns
        self._turn, self._lock = world.lock(), world.lock()
        self._next_s = float("-inf")

    def wait(self, timer: Timer, *, patience_s: float = PATIENCE_S) -> None:
        """Wait for this request's turn.

        Raises:
            RateLimitedError: If the turn does not come within ``patience_s``.
        """
        last_s = timer.clock() + patience_s
        if not self._turn.acquire(patience_s):
            raise _too_long(patience_s)
        try:
            while (delay_s := self._delay_s(timer.clock())) > 0:
                if timer.clock() + delay_s > last_s:
                    raise _too_long(patience_s)
                timer.sleep(delay_s)
            with self._lock:
                self._next_s = max(self._next_s, timer.clock() + self._interval_s)
        finally:
            self._turn.release()

    def _delay_s(self, now_s: float) -> float:
        """Return the seconds until this request's turn; 0 where it is now, and no other process has it."""
        own_s = self._next_s - now_s
        if own_s > 0 or self._turns is None or self._interval_s == 0:
            return own_s
        return self._turns.take(now_s, self._interval_s)

    def hold(self, timer: Timer, pause_s: float) -> None:
        """Let nobody ask for so many seconds from now."""
        now_s = timer.clock()
        with self._lock:
            self._next_s = max(self._next_s, now_s + pause_s)
        if self._turns is not None:
            self._turns.hold(now_s, now_s + pause_s)

    def count_from_now(self, timer: Timer) -> None:
        """Let the next turn come ``interval_s`` from now at the earliest: a request may go long after its own."""
        self.hold(timer, self._interval_s)


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
    try:
        found = email.utils.parsedate_to_datetime(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _too_long(patience_s: float) -> RateLimitedError:
    return RateLimitedError(
        f"too many requests wait for their turn: this one waited {patience_s:.0f} s",
        resolution="start fewer runs at a time on this account",
    )
