"""What a box is asked to be, and where it is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from runner.emulation.boxes.user_data import UserData

BoxKind = Literal["vm", "pod"]


@dataclass(frozen=True)
class BoxAddress:
    """Where a box's sshd listens.

    Attributes:
        host: IP address.
        port: TCP port.
        user: Who may log in; on loopback that is whoever runs the yard, whatever was asked for.
    """

    host: str
    port: int
    user: str


@dataclass(frozen=True)
class BoxOrder:
    """What a box is booted with.

    Attributes:
        kind: ``vm`` (systemd, user data) or ``pod`` (a container: no systemd, variables).
        user: Who may log in.
        public_keys: With which keys.
        user_data: What happens on the first boot.
        env: Variables of its first process.
        command: What a pod is started with in place of its image's own start.
        on_exit: Called when the box ends by itself, and not when the yard ends it.
    """

    kind: BoxKind
    user: str
    public_keys: list[str]
    user_data: UserData
    env: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    on_exit: Callable[[], None] | None = None
