"""What signals ask for: a stop, a stop at once, and an end of patience with what has begun since."""

from __future__ import annotations

import pytest

from runner.adapters.stop import Stop
from runner.world import RealWorld


@pytest.mark.parametrize(
    ("before", "since", "is_lost"),
    [(0, 0, False), (0, 1, False), (0, 2, True), (1, 0, False), (1, 1, True), (2, 0, False), (2, 1, True)],
)
def test_patience_ends_with_the_second_signal_and_never_with_one_that_came_before(
    before: int, since: int, is_lost: bool
) -> None:
    stop = Stop(RealWorld())
    stop.count = before
    has_lost_patience = stop.impatience()

    stop.count += since

    assert has_lost_patience() is is_lost
