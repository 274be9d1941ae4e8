"""How the tasks of a virtual world stop and go on: each is a thread, or a greenlet where those are installed.

A greenlet hands over to another within its thread, without the kernel; what happens, and in which order, is the same.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from typing import Protocol, Self

STUCK_S = 60.0
"""Real seconds after which a task that neither waits nor ends is taken for a defect."""


class StuckError(Exception):
    """Whoever runs does not stop."""


class Strand(Protocol):
    """What one task runs on; made by whoever runs, which it stands for until it is started."""

    def __init__(self, name: str) -> None:
        """Begin as what runs now."""

    def start(self, work: Callable[[], None]) -> None:
        """Get ready to do some work, which calls ``begin`` first."""

    def begin(self) -> None:
        """Wait for the first turn.

        Raises:
            StuckError: If whoever runs does not stop.
        """

    def hand_over(self, to: Self) -> None:
        """Let another go on, and wait for the next turn.

        Raises:
            StuckError: If whoever runs does not stop.
        """

    def end_with(self, to: Self) -> None:
        """Let another go on as the work ends."""

    def finish(self) -> bool:
        """Let the work go to its end meanwhile; return whether it has ended."""


class ThreadStrand:
    """A thread, which runs while it holds its baton."""

    def __init__(self, name: str) -> None:
        """Begin as what runs now."""
        self._name, self._baton = name, threading.Lock()
        self._baton.acquire()
        self.thread: threading.Thread | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Get ready to do some work, which calls ``begin`` first."""
        self.thread = threading.Thread(target=work, name=self._name, daemon=True)
        self.thread.start()

    def begin(self) -> None:
        """Wait for the first turn.

        Raises:
            StuckError: If whoever runs does not stop.
        """
        if not self._baton.acquire(timeout=STUCK_S):
            raise StuckError(f"{self._name} got no turn within {STUCK_S:.0f} s of real time")

    def hand_over(self, to: Self) -> None:
        """Let another go on, and wait for the next turn.

        Raises:
            StuckError: If whoever runs does not stop.
        """
        self.end_with(to)
        self.begin()

    def end_with(self, to: Self) -> None:
        """Let another go on; one that does not wait for it, for its world was given up, may have been let before."""
        if to._baton.locked():
            to._baton.release()

    def finish(self) -> bool:
        """Let the work go to its end meanwhile; return whether it has ended."""
        if self.thread is None:
            return True
        self.end_with(self)
        self.thread.join(STUCK_S)
        return not self.thread.is_alive()


def quickest() -> type[Strand]:
    """Return greenlets, or threads where they are not installed."""
    if importlib.util.find_spec("greenlet") is None:
        return ThreadStrand
    from runner.simulation.greenlets import GreenletStrand

    return GreenletStrand
