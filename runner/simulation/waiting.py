"""What tasks of a virtual world wait for: events, bells, locks, each other. Whoever lets it come stirs the world."""

from __future__ import annotations

from collections.abc import Callable

from runner.simulation.turns import Turn

Wait = Callable[[Callable[[], bool], float | None], bool]
"""Waits for what somebody else does, who stirs then."""
Stir = Callable[[], None]


class VirtualEvent:
    """Something that happens once and stays so."""

    def __init__(self, wait: Wait, stir: Stir) -> None:
        """Begin without it."""
        self._wait, self._stir, self._has_happened = wait, stir, False

    def set(self) -> None:
        """Let it have happened."""
        self._has_happened = True
        self._stir()

    def is_set(self) -> bool:
        """Return whether it has happened."""
        return self._has_happened

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it happens; return whether it has happened."""
        return self._wait(self.is_set, timeout_s)


class VirtualBell:
    """Wakes whoever waits."""

    def __init__(self, wait: Wait, stir: Stir) -> None:
        """Begin silent."""
        self._wait, self._stir, self._has_rung = wait, stir, False

    def ring(self) -> None:
        """Wake whoever waits now, else whoever waits next."""
        self._has_rung = True
        self._stir()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it rings; return whether it rang."""
        rang = self._wait(lambda: self._has_rung, timeout_s)
        self._has_rung = False
        return rang


class VirtualLock:
    """Held by one task at a time."""

    def __init__(self, wait: Wait, stir: Stir) -> None:
        """Begin with nobody holding it."""
        self._wait, self._stir, self._is_free = wait, stir, True
        self._waiting = 0

    def acquire(self, timeout_s: float | None = None) -> bool:
        """Take it; return whether it is held now."""
        self._waiting += 1
        try:
            if not self._wait(self._is_open, timeout_s):
                return False
        finally:
            self._waiting -= 1
        self._is_free = False
        return True

    def _is_open(self) -> bool:
        return self._is_free

    def release(self) -> None:
        """Let it go."""
        self._is_free = True
        if self._waiting:
            self._stir()

    def __enter__(self) -> VirtualLock:
        """Take it."""
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        """Let it go."""
        self.release()


class VirtualTask:
    """Work that goes on beside the rest."""

    def __init__(self, turn: Turn, wait: Wait) -> None:
        """Keep its turn."""
        self._turn, self._wait = turn, wait

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; return whether it has ended."""
        return self._wait(lambda: self._turn.is_over, timeout_s)
