"""Who listens where in a simulated life: the sshd of each machine."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING

from runner.simulation.boxes import SimulatedYard

if TYPE_CHECKING:
    from runner.world import Connection


class Servers(MutableMapping[tuple[str, int], "Callable[[], Connection]"]):
    """Who listens where: the sshd of each box."""

    def __init__(self, yard: SimulatedYard) -> None:
        """Take where the machines are."""
        self._yard = yard

    def __getitem__(self, key: tuple[str, int]) -> Callable[[], Connection]:
        """Return what connects to an address."""
        return lambda: self._yard.connect(*key)

    def __contains__(self, key: object) -> bool:
        """Return whether a machine has, or had, an address."""
        return key in self._yard.by_address

    def __setitem__(self, key: tuple[str, int], value: Callable[[], Connection]) -> None:
        """Refuse."""
        raise TypeError("boxes alone listen here")

    def __delitem__(self, key: tuple[str, int]) -> None:
        """Refuse."""
        raise TypeError("boxes alone listen here")

    def __iter__(self):  # type: ignore[no-untyped-def]
        """Go through the addresses."""
        return iter(self._yard.by_address)

    def __len__(self) -> int:
        """Return how many addresses there are."""
        return len(self._yard.by_address)
