"""How long the resources wait between two looks at something that takes its time."""

from __future__ import annotations

from collections.abc import Iterator

FIRST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 1.0, 10.0, 1.5


def pauses_s(first_s: float = FIRST_PAUSE_S, longest_s: float = LONGEST_PAUSE_S) -> Iterator[float]:
    """Return the seconds between looks: quick at first, then slower, without end.

    Args:
        first_s: The first.
        longest_s: The longest.
    """
    pause_s = first_s
    while True:
        yield pause_s
        pause_s = min(pause_s * GROWTH, longest_s)
