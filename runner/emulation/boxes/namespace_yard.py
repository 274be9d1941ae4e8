"""A yard whose boxes have a network and a root of their own; needs root on Linux."""

from __future__ import annotations

import threading
from pathlib import Path

from runner.emulation.boxes.address import BoxAddress, BoxOrder
from runner.emulation.boxes.disk import delete
from runner.emulation.boxes.names import FIRST_BOX, LAST_BOX, POD_PORT_BASE, BoxName
from runner.emulation.boxes.namespace_box import NamespaceBox
from runner.emulation.boxes.network import Network, remove_bridge
from runner.emulation.boxes.registry import registry_folder
from runner.emulation.boxes.tree import build_tree
from runner.errors import UsageError


class NamespaceYard:
    """Boxes on a private bridge."""

    def __init__(self, folder: Path, tag: str) -> None:
        """Make the bridge, once the tree stands that every box needs: no end of a box ever waits for its build."""
        build_tree()
        self._folder, self._tag = folder, tag
        self._network = Network(tag, registry_folder() / "networks")
        self._boxes: dict[str, NamespaceBox] = {}
        self._next = FIRST_BOX
        self._lock = threading.Lock()

    @property
    def gateway(self) -> str | None:
        """This machine's address on the boxes' network."""
        return self._network.gateway

    @property
    def login(self) -> None:
        """No box is a login of this machine."""
        return

    def boot(self, box: str, order: BoxOrder) -> BoxAddress:
        """Begin to boot a box; one that is dead boots from its disk, at its address."""
        with self._lock:
            old = self._boxes.get(box)
            if old is not None and old.is_alive:
                raise UsageError(f"boxes: {box} runs already", resolution="give each box a name of its own")
            number = old.name.number if old is not None else self._take_number()
            port = 22 if order.kind == "vm" else POD_PORT_BASE + number
            address = BoxAddress(self._network.address(number), port, order.user)
            name = BoxName(self._tag, number)
            new = NamespaceBox(self._folder / "boxes" / box, name, box, address, order, self._network)
            if old is not None:
                old.end()
            self._boxes[box] = new
        new.boot()
        return address

    def _take_number(self) -> int:
        """Return a number that no box has; an address is used again as late as can be."""
        used = {box.name.number for box in self._boxes.values()}
        for _ in range(FIRST_BOX, LAST_BOX + 1):
            number = self._next
            self._next = number + 1 if number < LAST_BOX else FIRST_BOX
            if number not in used:
                return number
        raise UsageError("boxes: the yard is full", resolution="remove boxes that are not needed")

    def is_alive(self, box: str) -> bool:
        """Return whether a box runs or still boots."""
        return box in self._boxes and self._boxes[box].is_alive

    def alive(self) -> list[str]:
        """Return the names of the boxes that run."""
        return [name for name, box in list(self._boxes.items()) if box.is_alive]

    def kill(self, box: str) -> None:
        """Let a box vanish; its disk stays."""
        if box in self._boxes:
            self._boxes[box].end()

    def remove(self, box: str) -> None:
        """End a box and delete its disk."""
        if box in self._boxes:
            self._boxes[box].end()
            delete(self._boxes.pop(box).folder)

    def partition(self, box: str, on: bool) -> None:
        """Cut a box off the network, or let it back."""
        self._known(box).partition(on)

    def tell(self, box: str, notice: bytes) -> None:
        """Let a box's metadata service tell of a reclaim."""
        self._known(box).tell(notice)

    def console(self, box: str) -> str:
        """Return a box's console output."""
        path = self._known(box).console
        return path.read_text(errors="replace") if path.exists() else ""

    def namespace(self, box: str) -> str | None:
        """Return the name of a box's network namespace."""
        return self._known(box).name.namespace

    def close(self) -> None:
        """Remove all boxes and the bridge."""
        for box in list(self._boxes):
            self.remove(box)
        remove_bridge(self._tag)

    def _known(self, box: str) -> NamespaceBox:
        if box not in self._boxes:
            raise UsageError(f"boxes: there is no box {box}", resolution="boot it first")
        return self._boxes[box]
