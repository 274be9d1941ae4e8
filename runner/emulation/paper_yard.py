"""A yard without boxes: machines exist on the books alone, for tests of what talks to the clouds alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.emulation.machines import BoxKind


@dataclass(frozen=True)
class PaperAddress:
    """An address at which nothing answers (RFC 5737)."""

    host: str
    port: int


@dataclass
class PaperBox:
    """What a box was asked to be, and what was done to it.

    Attributes:
        address: Its address.
        order: The arguments of ``boot``.
        on_exit: What to call when it shuts itself down.
        is_alive: Whether it runs.
        is_cut_off: Whether it is cut off the network.
        notice: What its metadata service tells of a reclaim.
    """

    address: PaperAddress
    order: Mapping[str, Any]
    on_exit: Callable[[], None] | None
    is_alive: bool = True
    is_cut_off: bool = False
    notice: bytes = b""


@dataclass
class PaperYard:
    """Boxes on paper.

    Attributes:
        boxes: Every box by its name, until it is removed.
    """

    boxes: dict[str, PaperBox] = field(default_factory=dict)
    _count: int = 0

    def boot(
        self,
        box: str,
        *,
        kind: BoxKind,
        user: str,
        public_keys: list[str],
        user_data: str | None = None,
        env: Mapping[str, str] | None = None,
        command: str = "",
        on_exit: Callable[[], None] | None = None,
    ) -> PaperAddress:
        """Write a box down."""
        self._count += 1
        address = PaperAddress(f"192.0.2.{self._count % 254 + 1}", 22 if kind == "vm" else 20000 + self._count)
        order = {
            "kind": kind,
            "user": user,
            "public_keys": public_keys,
            "user_data": user_data,
            "env": dict(env or {}),
            "command": command,
        }
        self.boxes[box] = PaperBox(address, order, on_exit)
        return address

    def is_alive(self, box: str) -> bool:
        """Return whether a box runs."""
        return box in self.boxes and self.boxes[box].is_alive

    def kill(self, box: str) -> None:
        """Let a box vanish."""
        if box in self.boxes:
            self.boxes[box].is_alive = False

    def remove(self, box: str) -> None:
        """Forget a box."""
        self.boxes.pop(box, None)

    def partition(self, box: str, on: bool) -> None:
        """Cut a box off, or let it back."""
        self.boxes[box].is_cut_off = on

    def tell(self, box: str, notice: bytes) -> None:
        """Write down what a box's metadata service tells."""
        self.boxes[box].notice = notice

    def close(self) -> None:
        """Forget every box."""
        self.boxes.clear()
