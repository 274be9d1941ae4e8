"""Work that goes on beside a block of code, in a thread of its own, and ends with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(work: Callable[[threading.Event], None], *, name: str, patience_s: float) -> Iterator[None]:
    """Let ``work`` go on as long as the block does.

    Args:
        work: Called with the event that is set when the block is over; it should return soon after.
        name: Name of the thread.
        patience_s: How long to wait for it at the end, in seconds; the thread never outlives the process.
    """
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(patience_s)
