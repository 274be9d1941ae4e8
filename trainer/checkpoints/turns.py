"""Threads that take turns, and who has to wait lets the next one go on.

Python runs one thread at a time, and hands over with each call to the system. Sixteen threads that bring small files
make dozens of such calls for each, and their fight for the interpreter takes as much of a CPU as the work itself. In
turns there is no fight: a thread works until it waits for the network. What it does with the disk it does in its turn:
where it takes milliseconds to open a small file, one file is waited for after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local
from types import TracebackType

_TURN = Lock()
_OWN = local()


@contextmanager
def turn() -> Iterator[None]:
    """Work while no other thread does that takes turns; not to be asked for within itself.

    Who has the turn must not wait for what another may hold that wants it back: wait in ``waiting``, and for a lock
    by ``PatientLock``.
    """
    with _TURN:
        _OWN.has_turn = True
        try:
            yield
        finally:
            _OWN.has_turn = False


def has_turn() -> bool:
    """Return whether this thread has the turn."""
    return getattr(_OWN, "has_turn", False)


@contextmanager
def waiting() -> Iterator[None]:
    """Let other threads go on until the block ends, and then wait for a turn again; without a turn nothing happens."""
    if not has_turn():
        yield
        return
    _OWN.has_turn = False
    _TURN.release()
    try:
        yield
    finally:
        _TURN.acquire()
        _OWN.has_turn = True


class PatientLock:
    """A lock: who waits for it lets other threads go on, for who holds it may want the turn back first."""

    def __init__(self) -> None:
        """Begin unlocked."""
        self._lock = Lock()

    def __enter__(self) -> None:
        """Lock."""
        if not self._lock.acquire(blocking=False):
            with waiting():
                self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Unlock."""
        self._lock.release()
