"""Rate limits of the emulated clouds: a token bucket, and fixed windows with their headers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

TOLERANCE = 0.05
"""A client that keeps the pace to the letter is never refused for the jitter of the network."""


@dataclass
class TokenBucket:
    """One request every ``interval_s`` seconds, and ``burst`` at once after a rest; an interval of 0 has no limit."""

    interval_s: float
    burst: int = 1
    _tokens: float = field(default=0.0)
    _at: float | None = field(default=None)

    def take(self, now: float) -> bool:
        """Take one token; return whether there was one."""
        if self.interval_s <= 0:
            return True
        since_s = 0.0 if self._at is None else max(0.0, now - self._at)
        self._tokens = self.burst if self._at is None else min(self.burst, self._tokens + since_s / self.interval_s)
        self._at = now
        if self._tokens + TOLERANCE < 1:
            return False
        self._tokens = max(0.0, self._tokens - 1)
        return True


@dataclass
class Window:
    """At most ``quota`` requests in each ``length_s`` seconds."""

    name: str
    quota: int
    length_s: int
    _since: float = -math.inf
    _used: int = 0

    def count(self, now: float) -> bool:
        """Count one request; return whether it was within the quota."""
        if now - self._since >= self.length_s:
            self._since, self._used = now, 0
        self._used += 1
        return self._used <= self.quota

    def left(self) -> int:
        """Return how many requests are left in this window."""
        return max(0, self.quota - self._used)

    def resets_s(self, now: float) -> int:
        """Return the whole seconds until the window begins anew."""
        return max(0, math.ceil(self._since + self.length_s - now))


def window_headers(windows: list[Window], now: float) -> dict[str, str]:
    """Return the headers ``RateLimit-Policy`` and ``RateLimit``, as IETF's draft has them."""
    return {
        "RateLimit-Policy": ", ".join(f'"{w.name}";q={w.quota};w={w.length_s}' for w in windows),
        "RateLimit": ", ".join(f'"{w.name}";r={w.left()};t={w.resets_s(now)}' for w in windows),
    }
