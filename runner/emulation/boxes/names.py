"""How everything of a yard is named, so that it is found by its name alone after a ``kill -9`` of everything."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

FIRST_BOX, LAST_BOX = 10, 250
POD_PORT_BASE = 20000
"""A pod's port on the outside is this and its number; a rented container is never reached on port 22."""
TAG_LENGTH = 8
_TAG = r"(?P<tag>[0-9a-f]{8})"
NAMESPACE = re.compile(rf"douse-{_TAG}-(?P<number>\d+)")
INTERFACE = re.compile(rf"dz{_TAG}(-\d+)?")


def tag_of(folder: Path, name: str) -> str:
    """Return the short mark that everything of a yard carries."""
    return hashlib.sha256(f"{folder.resolve()}\0{name}".encode()).hexdigest()[:TAG_LENGTH]


def tag_in(name: str) -> str | None:
    """Return the mark in the name of a namespace, a mount, a machine or an interface, ``None`` when it is not ours."""
    match = NAMESPACE.fullmatch(name) or INTERFACE.fullmatch(name)
    return match["tag"] if match else None


def bridge_of(tag: str) -> str:
    """Return the name of a yard's bridge; the kernel allows 15 characters."""
    return f"dz{tag}"


def subnet_of(third: int) -> str:
    """Return the first three bytes of a yard's addresses."""
    return f"10.77.{third}"


@dataclass(frozen=True)
class BoxName:
    """The names of one box.

    Attributes:
        tag: The yard's mark.
        number: The box's number in its yard, also the last byte of its address.
    """

    tag: str
    number: int

    @property
    def namespace(self) -> str:
        """Name of its network namespace, of its mounts and of the machine."""
        return f"douse-{self.tag}-{self.number}"

    @property
    def interface(self) -> str:
        """Name of the host's end of its cable."""
        return f"dz{self.tag}-{self.number}"


def mac_of(address: str) -> str:
    """Return the hardware address of an IP address: always the same, else neighbours' caches stall a new box."""
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))
