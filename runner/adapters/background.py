"""Work that goes on beside a block of code, and ends with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runner.world import Event, World


@contextmanager
def beside(world: World, work: Callable[[Event], None], *, name: str, patience_s: float) -> Iterator[None]:
    """Let ``work`` go on as long as the block does.

    Args:
        world: Where it goes on.
        work: Called with the event that is set when the block is over; it should return soon after.
        name: What to call it.
        patience_s: How long to wait for it at the end, in seconds; it never outlives the process.
    """
    over = world.event()
    task = world.start(lambda: work(over), name=name)
    try:
        yield
    finally:
        over.set()
        task.join(patience_s)
