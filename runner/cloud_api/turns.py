"""When an account may be asked next: what one process knows of it, and what the processes of a computer share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from runner.world import LockedError, World

PATIENCE_S = 600.0
"""How long a request may wait for its turn."""
FLIGHT_S = 10.0
"""How long a request without an answer keeps others back. By then its connection was made or has failed, and an answer
that is still to come is late by the cloud's own work, which begins with counting the request. And whoever was killed in
flight keeps nobody back for longer."""
NO_BOOT = "-"
"""Where a computer has no name for its last start."""


@dataclass(frozen=True)
class Schedule:
    """When the next request may go, on the clock that all processes of a computer share.

    Attributes:
        next_s: Not before then.
        flight_until_s: Nor before then, while the last one has not been answered.
    """

    next_s: float = -math.inf
    flight_until_s: float = -math.inf

    def wait_s(self, now_s: float, interval_s: float) -> float:
        """Return the seconds to wait before looking again, 0 where a request may go now.

        While one is in flight that is the interval: no sooner may the next one go, were its answer here now.
        """
        return max(0.0, self.next_s - now_s, min(interval_s, self.flight_until_s - now_s))

    def taken(self, now_s: float, interval_s: float) -> Schedule:
        """Return it with a request in flight; as it is where none may go now."""
        if self.wait_s(now_s, interval_s) > 0:
            return self
        return replace(self, flight_until_s=now_s + interval_s + FLIGHT_S)

    def landed(self, went_s: float, interval_s: float) -> Schedule:
        """Return it without the request that went then; another's flight, which began when its own was over, stays."""
        is_own = self.flight_until_s == went_s + interval_s + FLIGHT_S
        return replace(self, flight_until_s=-math.inf) if is_own else self

    def held(self, until_s: float) -> Schedule:
        """Return it with no request before ``until_s``."""
        return replace(self, next_s=max(self.next_s, until_s))


class Turns:
    """The schedule of one account that several processes share, in a file.

    Asking never depends on it: where the file cannot be read, written or locked, every process keeps its own pace.
    """

    LOCK_TRIES, LOCK_RETRY_S = 20, 0.05

    def __init__(self, world: World, path: Path) -> None:
        """Keep the place; nothing is there before the first turn."""
        self._world, self._path, self._tries = world, path, 0
        self._folder, self._lock = path.parent, path.with_suffix(".lock")

    def look(self, now_s: float) -> Schedule:
        """Return what the file says now."""
        try:
            return self._read(now_s)
        except OSError:
            return Schedule()

    def change(self, now_s: float, change: Callable[[Schedule], Schedule]) -> Schedule:
        """Change what the file says, and return what it said before: nothing, where it could not be changed.

        Args:
            now_s: Seconds on the clock that all processes of this computer share.
            change: Makes of what it says what it is to say.
        """
        while True:
            try:
                return self._changed(now_s, change)
            except LockedError:
                self._tries += 1
                if self._tries >= self.LOCK_TRIES:
                    return Schedule()  # whoever holds it may have been stopped
                self._world.sleep(self.LOCK_RETRY_S)
            except OSError:
                return Schedule()

    def _changed(self, now_s: float, change: Callable[[Schedule], Schedule]) -> Schedule:
        self._world.disk.make_folder(self._folder, mode=0o700)
        with self._world.disk.lock(self._lock):
            self._tries = 0
            said = self._read(now_s)
            if (new := change(said)) != said:
                text = f"{self._world.boot_id or NO_BOOT} {new.next_s!r} {new.flight_until_s!r}\n"
                self._world.disk.write(self._path, text.encode(), 0o600)
            return said

    def _read(self, now_s: float) -> Schedule:
        """Return what the file says; what is from before this computer's start, or too far ahead, does not count."""
        try:
            boot_id, *said = self._world.disk.read(self._path).decode("ascii").split()
            next_s, flight_until_s = (float(one) if float(one) - now_s <= PATIENCE_S else -math.inf for one in said)
        except (FileNotFoundError, ValueError):
            return Schedule()
        return Schedule(next_s, flight_until_s) if boot_id == (self._world.boot_id or NO_BOOT) else Schedule()
