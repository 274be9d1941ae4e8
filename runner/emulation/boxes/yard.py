"""A yard of boxes: boots them, cuts them off, lets them vanish, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from runner.emulation.boxes.address import BoxAddress, BoxKind, BoxOrder
from runner.emulation.boxes.loopback_yard import LoopbackYard
from runner.emulation.boxes.names import tag_of
from runner.emulation.boxes.namespace_yard import NamespaceYard
from runner.emulation.boxes.registry import Entry
from runner.emulation.boxes.remains import clean, demolish
from runner.emulation.boxes.support import supported
from runner.emulation.boxes.user_data import read_user_data
from runner.errors import UsageError

__all__ = ["Yard", "clean"]


class _AnyYard(Protocol):
    @property
    def gateway(self) -> str | None: ...
    @property
    def login(self) -> tuple[str, int] | None: ...
    def boot(self, box: str, order: BoxOrder) -> BoxAddress: ...
    def is_alive(self, box: str) -> bool: ...
    def alive(self) -> list[str]: ...
    def kill(self, box: str) -> None: ...
    def remove(self, box: str) -> None: ...
    def partition(self, box: str, on: bool) -> None: ...
    def tell(self, box: str, notice: bytes) -> None: ...
    def console(self, box: str) -> str: ...
    def namespace(self, box: str) -> str | None: ...
    def close(self) -> None: ...


class Yard:
    """The boxes of one rehearsal: with a network of their own as root on Linux, else sshd on loopback ports."""

    def __init__(self, folder: Path, name: str) -> None:
        """Claim the yard, and end what a dead owner of the same yard left.

        Args:
            folder: Gets the boxes' disks and consoles.
            name: What the yard is for; with the folder it makes the mark that everything of it carries.

        Raises:
            UsageError: If another process has this yard open.
            BoxError: If its network cannot be made.
        """
        folder = folder.resolve()
        tag = tag_of(folder, name)
        try:
            self._entry = Entry(tag, folder)
        except BlockingIOError as err:
            raise UsageError(
                f"boxes: the yard {name} in {folder} is in use",
                resolution="wait for the other rehearsal, or stop it with Ctrl-C; if it is dead, `make rehearse-clean`",
            ) from err
        reason = supported()
        demolish(tag, folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._yard: _AnyYard
        if reason is None:
            self._yard = NamespaceYard(folder, tag)
        else:
            self._yard = LoopbackYard(folder, reason)

    @property
    def login(self) -> tuple[str, int] | None:
        """User and port of every box that is a login of this machine, ``None`` for real boxes."""
        return self._yard.login

    @property
    def gateway(self) -> str | None:
        """This machine's address on the boxes' network, ``None`` on loopback."""
        return self._yard.gateway

    def boot(
        self,
        box: str,
        *,
        kind: BoxKind,
        user: str,
        public_keys: list[str],
        user_data: str | None = None,
        env: Mapping[str, str] = {},
        command: str = "",
        on_exit: Callable[[], None] | None = None,
    ) -> BoxAddress:
        """Begin to boot a box and return at once with the address that its sshd will have.

        A box that was killed boots again from its disk, at its address.

        Args:
            box: Name of the box, also its host name.
            kind: ``vm`` (systemd, user data) or ``pod`` (a container: no systemd, variables, another port than 22).
            user: Who may log in, and become root.
            public_keys: With which keys; a pod takes the variable ``PUBLIC_KEY`` too.
            user_data: ``#cloud-config`` of ``ssh_keys``, ``ssh_deletekeys``, ``write_files`` and ``runcmd``.
            env: Variables of the first process.
            command: What a pod is started with in place of ``/start.sh``, which starts its sshd.
            on_exit: Called from another thread when the box ends by itself; not for ``kill``, ``remove``, ``close``.

        Raises:
            UserDataError: If the user data holds anything else.
            UsageError: If a box of this name runs.
        """
        data = read_user_data(user_data)
        return self._yard.boot(box, BoxOrder(kind, user, public_keys, data, dict(env), command, on_exit))

    def is_alive(self, box: str) -> bool:
        """Return whether a box runs or still boots."""
        return self._yard.is_alive(box)

    def alive(self) -> list[str]:
        """Return the names of the boxes that run."""
        return self._yard.alive()

    def kill(self, box: str) -> None:
        """Let a box vanish: cable out first, so that no peer notices, then SIGKILL. Its disk stays."""
        self._yard.kill(box)

    def remove(self, box: str) -> None:
        """End a box and forget its disk; one that is gone already is fine."""
        self._yard.remove(box)

    def partition(self, box: str, on: bool) -> None:
        """Cut a box off the network, or let it back.

        Raises:
            UsageError: If the boxes have no network of their own.
        """
        self._yard.partition(box, on)

    def tell(self, box: str, notice: bytes) -> None:
        """Let a box's metadata service tell that its machine will be reclaimed; a login of this machine has none."""
        self._yard.tell(box, notice)

    def console(self, box: str) -> str:
        """Return a box's console output."""
        return self._yard.console(box)

    def namespace(self, box: str) -> str | None:
        """Return the name of a box's network namespace (for ``ip netns exec``), ``None`` on loopback."""
        return self._yard.namespace(box)

    def close(self) -> None:
        """Remove everything of this yard; a second time does nothing."""
        self._yard.close()
        self._entry.close()
