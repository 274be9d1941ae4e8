"""Work that goes on beside a block of code, and ends with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from runner.world import Bell, Event, World

Result = TypeVar("Result")

POLL_S = 0.2


@contextmanager
def beside(
    world: World,
    work: Callable[[Event], None],
    *,
    name: str,
    patience_s: float,
    is_urgent: Callable[[], bool] = lambda: False,
    bell: Bell | None = None,
) -> Iterator[None]:
    """Let ``work`` go on as long as the block does.

    Args:
        world: Where it goes on.
        work: Called with the event that is set when the block is over; it should return soon after.
        name: What to call it.
        patience_s: How long to wait for it at the end, in seconds; it never outlives the process.
        is_urgent: Asked several times a second; when it says yes, it is waited for no longer.
        bell: What the work waits for between its rounds, if it does; it rings once the block is over.
    """
    over = world.event()
    task = world.start(lambda: work(over), name=name)
    try:
        yield
    finally:
        over.set()
        if bell is not None:
            bell.ring()
        deadline_s = world.monotonic_s() + patience_s
        while not task.join(max(0.0, min(POLL_S, deadline_s - world.monotonic_s()))):
            if is_urgent() or world.monotonic_s() >= deadline_s:
                break


def awaited(world: World, work: Callable[[], Result], *, name: str, waits: Callable[[], None]) -> Result:
    """Return the result of work that may never end: it goes on by itself, and is left alone once nobody waits.

    Args:
        world: Where it goes on.
        work: What to do.
        name: What to call it.
        waits: Called several times a second; raises when the work is to be waited for no longer.

    Raises:
        BaseException: Whatever ``work`` or ``waits`` raised.
    """
    results: list[Result] = []
    failures: list[BaseException] = []

    def attempt() -> None:
        try:
            results.append(work())
        except BaseException as err:  # noqa: BLE001 - it is raised again where the work is waited for
            failures.append(err)

    task = world.start(attempt, name=name)
    while not task.join(POLL_S):
        waits()
    if failures:
        raise failures[0]
    return results[0]
