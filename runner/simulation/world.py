"""A virtual world of one process: time passes at once, chance comes from a seed, tasks take turns in its order.

Simulated lives have several computers and processes (``computer.py``); this is the world of a test, in whose thread it
begins.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, Self

from runner.simulation.computer import Computer
from runner.simulation.process import Process
from runner.simulation.turns import DeadlockError, Turns
from runner.world import Connection

if TYPE_CHECKING:
    from httpx2 import BaseTransport

__all__ = ["BEGINNING", "DeadlockError", "VirtualWorld"]

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualWorld(Process):
    """A world in which nothing outside this process happens; leaving the block ends its tasks."""

    def __init__(
        self,
        seed: int = 0,
        environ: Mapping[str, str] | None = None,
        *,
        now: datetime = BEGINNING,
        transport: BaseTransport | None = None,
    ) -> None:
        """Begin at a moment.

        Args:
            seed: Where chance comes from.
            environ: The environment variables; none where not given.
            now: The time of day at the beginning (UTC).
            transport: What HTTP requests go out by; without one they have no way out.
        """
        self.chance = random.Random(seed)  # noqa: S311 - to be the same each time is what it is for
        self._turns = Turns(self.chance)
        computer = Computer(self._turns, self.chance, began=now)
        super().__init__(computer, environ or {}, name="main", transport=transport)
        self._turns.adopt("main", self)

    def __enter__(self) -> Self:
        """Return the world."""
        return self

    def __exit__(self, *error: object) -> None:
        """End every task."""
        self.close()

    def close(self) -> None:
        """End every task where it waits; raise what one of them died of.

        Raises:
            BaseException: What a task did not catch.
        """
        self._turns.close()
        if self._turns.failures:
            raise self._turns.failures[0]

    @property
    def signals_sent(self) -> list[tuple[int, Signals]]:
        """Every signal that was sent, to whom."""
        return self.computer.signals_sent

    @property
    def servers(self) -> MutableMapping[tuple[str, int], Callable[[], Connection]]:
        """Who listens at which address."""
        return self.computer.servers

    @property
    def programs(self) -> dict[str, Path]:
        """The programs that are installed, by name."""
        return self.computer.programs

    def fall_asleep(self, seconds: float) -> None:
        """Let the machine sleep: the time of day goes on, and nobody on it notices."""
        self._turns.passed_s += seconds
        self.computer.slept_s += seconds
        self._turns.stir()
