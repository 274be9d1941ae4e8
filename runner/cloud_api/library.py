"""A vendor's own library, where a cloud's client asks by one: what opens it, and what asks it several things at once.

Such a library does its own HTTP, waits and repeats, so that a world cannot put another wire below it (``wire``). A
world may have been made with something in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.world import World


@dataclass(frozen=True)
class Library:
    """A vendor's library.

    Attributes:
        open: Returns the library's session with the credentials of an environment.
        pool: Makes what does so many things at once.
    """

    open: Callable[[Mapping[str, str]], Any]
    pool: Callable[[int], Executor]


def library_of(world: World, cloud: str, usual: Library) -> Library:
    """Return what asks a cloud in a world: the vendor's own library, unless the world was made with something else.

    Args:
        world: The world.
        cloud: Name of the cloud.
        usual: The vendor's own.
    """
    return world.shared(library_key(cloud), lambda: usual)


def library_key(cloud: str) -> tuple[str, str]:
    """Return the key under which a world shares what asks a cloud."""
    return "library", cloud
