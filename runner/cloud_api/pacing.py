"""How fast a cloud may be asked: one pace for an account in the whole process, whoever asks."""

from __future__ import annotations

import email.utils
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runner.errors import RateLimitedError
from runner.world import World

PATIENCE_S = 600.0
"""How long a request may wait for its turn."""
LEAST_OFF = timedelta(minutes=1)
"""A smaller difference may be the way of the answer, and a ``Date`` has whole seconds."""
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
    """A queue: one request every ``interval_s`` seconds, and none while the cloud has said to wait."""

    def __init__(self, world: World, interval_s: float) -> None:
        """Let the first request go at once."""
        self._interval_s = interval_s
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
            while (delay_s := self._next_s - timer.clock()) > 0:
                if self._next_s > last_s:
                    raise _too_long(patience_s)
                timer.sleep(delay_s)
            with self._lock:
                self._next_s = max(self._next_s, timer.clock() + self._interval_s)
        finally:
            self._turn.release()

    def hold(self, timer: Timer, pause_s: float) -> None:
        """Let nobody ask for so many seconds from now."""
        with self._lock:
            self._next_s = max(self._next_s, timer.clock() + pause_s)


def shared_pace(world: World, cloud: str, api_key: str, lane: str, interval_s: float) -> Pace:
    """Return the pace that everybody in this process shares who uses the same account."""
    account = hashlib.sha256(api_key.encode()).hexdigest()
    return world.shared((Pace, cloud, account, lane, interval_s), lambda: Pace(world, interval_s))


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
        Nothing less than a minute counts as off; ``None`` where the answer has no date.
    """
    there = _date(headers.get("date", ""))
    if there is None:
        return None
    off = there - now
    return off if abs(off) >= LEAST_OFF else timedelta()


def spent_window_s(headers: Mapping[str, str]) -> float:
    """Return the seconds until the longest spent window of a ``RateLimit`` header opens again, 0 when none is spent."""
    waits = [0.0]
    for window in WINDOW.finditer(headers.get("ratelimit", "")):
        numbers = dict(part.strip().split("=") for part in window.group(1).strip(" ;").split(";"))
        if int(numbers.get("r", "1")) <= 0:
            waits.append(float(numbers.get("t", "0")))
    return max(waits)


def _date(value: str) -> datetime | None:
    try:
        found = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _too_long(patience_s: float) -> RateLimitedError:
    return RateLimitedError(
        f"too many requests wait for their turn: this one waited {patience_s:.0f} s",
        resolution="start fewer runs at a time on this account",
    )
