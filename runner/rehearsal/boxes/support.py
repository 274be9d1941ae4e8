"""Whether this machine can have real boxes, and if not, why."""

from __future__ import annotations


def supported() -> str | None:
    """Return ``None`` where boxes can have a network and a root of their own, else the reason why not."""
    raise NotImplementedError
