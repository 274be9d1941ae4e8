"""A yard of boxes: boots them, cuts them off, lets them vanish, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from runner.rehearsal.boxes.address import BoxAddress, BoxKind, BoxOrder
from runner.rehearsal.boxes.user_data import read_user_data


class Yard:
    """The boxes of one rehearsal: with a network of their own as root on Linux, else sshd on loopback ports."""

    def __init__(self, folder: Path, name: str) -> None:
        """Claim a network; ``folder`` gets the boxes' disks and consoles."""

    @property
    def gateway(self) -> str | None:
        """This machine's address on the boxes' network, ``None`` on loopback."""
        raise NotImplementedError

    def boot(
        self,
        box: str,
        *,
        kind: BoxKind,
        user: str,
        public_keys: list[str],
        user_data: str | None = None,
        env: Mapping[str, str] = {},  # noqa: B006 - never written to
        on_exit: Callable[[], None] | None = None,
    ) -> BoxAddress:
        """Begin to boot a box and return at once with the address that its sshd will have."""
        BoxOrder(kind, user, public_keys, read_user_data(user_data), env, on_exit)
        raise NotImplementedError

    def is_alive(self, box: str) -> bool:
        """Tell whether a box runs (or still boots)."""
        raise NotImplementedError

    def alive(self) -> list[str]:
        """Return the names of the boxes that run."""
        raise NotImplementedError

    def kill(self, box: str) -> None:
        """Let a box vanish: link down first, so that nobody is told, then SIGKILL."""

    def remove(self, box: str) -> None:
        """End a box and forget its disk."""

    def partition(self, box: str, on: bool) -> None:
        """Cut a box off the network, or let it back."""

    def console(self, box: str) -> str:
        """Return what a box has said while it booted."""
        raise NotImplementedError

    def namespace(self, box: str) -> str | None:
        """Return the name of a box's network namespace (``ip netns exec``), ``None`` on loopback."""
        raise NotImplementedError

    def close(self) -> None:
        """Remove everything of this yard."""


def clean(folder: Path | None = None) -> list[str]:
    """End everything of yards whose owner is dead; returns the names of what was ended."""
    raise NotImplementedError
