"""How long the resources wait between two looks at something that takes its time."""

from __future__ import annotations

from collections.abc import Iterator

FIRST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 1.0, 10.0, 1.5


def pauses_s() -> Iterator[float]:
    """Return the seconds between looks: quick at first, then slower, without end."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(pause_s * GROWTH, LONGEST_PAUSE_S)
