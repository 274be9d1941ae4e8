"""Time as the resources see it: waits that end when Terraform is told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

FIRST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 1.0, 10.0, 1.5


class Clock:
    """The machine's own clock; tests put another in its place."""

    def now_s(self) -> float:
        """Return seconds since some moment; they never go back."""
        return time.monotonic()

    def wait(self, stop: threading.Event, pause_s: float) -> bool:
        """Wait; tell whether ``stop`` came, which ends the wait at once."""
        return stop.wait(pause_s)


def pauses_s() -> Iterator[float]:
    """Return the seconds between looks at something that takes its time: quick at first, then slower, without end."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(pause_s * GROWTH, LONGEST_PAUSE_S)
