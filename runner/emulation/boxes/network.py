"""A yard's network: a bridge of its own, and for each box a cable into a network namespace of its own."""

from __future__ import annotations

import fcntl
import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from runner.emulation.boxes.host import BoxError, attempt, call
from runner.emulation.boxes.names import BoxName, bridge_of, mac_of, subnet_of

NETWORKS = 256
METADATA = "169.254.169.254"
"""Where a rented machine finds its metadata; it lives in the box's namespace, never on this machine."""


class Network:
    """The network of one yard."""

    def __init__(self, tag: str, lock: Path) -> None:
        """Make the bridge on a network that nothing else of this machine uses; ``lock`` keeps two yards apart."""
        self._tag = tag
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._subnet = _free_subnet(int(tag, 16))
            bridge = bridge_of(tag)
            call(["ip", "link", "add", bridge, "type", "bridge"])
            call(["ip", "address", "add", f"{self.gateway}/24", "dev", bridge])
            call(["ip", "link", "set", bridge, "up"])

    @property
    def gateway(self) -> str:
        """This machine's address on it."""
        return f"{self._subnet}.1"

    def address(self, number: int) -> str:
        """Return the address of a box."""
        return f"{self._subnet}.{number}"

    def plug(self, name: BoxName, folder: Path) -> None:
        """Give a box its namespace, its address and its cable."""
        address, space = self.address(name.number), name.namespace
        batch = folder / "network"
        batch.write_text(
            f"netns add {space}\n"
            f"link add {name.interface} type veth peer name eth0 address {mac_of(address)} netns {space}\n"
            f"link set {name.interface} master {bridge_of(self._tag)} up\n"
        )
        call(["ip", "-batch", str(batch)])
        batch.write_text(
            f"address add {address}/24 dev eth0\nlink set eth0 up\nlink set lo up\n"
            f"address add {METADATA}/32 dev lo\nroute add default via {self.gateway}\n"
        )
        call(["ip", "-n", space, "-batch", str(batch)])


def cut(name: BoxName, on: bool) -> None:
    """Pull a box's cable, or plug it in again."""
    call(["ip", "link", "set", name.interface, "down" if on else "up"])


def pull_quietly(name: BoxName) -> None:
    """Pull a box's cable if it is still there."""
    attempt(["ip", "link", "set", name.interface, "down"])


def unplug(name: BoxName) -> None:
    """Remove a box's cable and namespace; what is gone already is fine."""
    attempt(["ip", "link", "delete", name.interface])
    attempt(["ip", "netns", "delete", name.namespace])


def remove_bridge(tag: str) -> None:
    """Remove a yard's bridge; one that is gone already is fine."""
    attempt(["ip", "link", "delete", bridge_of(tag)])


def namespaces() -> list[str]:
    """Return the names of all network namespaces of this machine."""
    return [line.split()[0] for line in call(["ip", "netns", "list"]).splitlines() if line.strip()]


def interfaces() -> list[str]:
    """Return the names of all network interfaces of this machine."""
    return [str(link["ifname"]) for link in _json(["ip", "-json", "link"])]


def _free_subnet(start: int) -> str:
    """Return a network that this machine has no route into, beginning at the yard's own guess."""
    taken = []
    for route in _json(["ip", "-json", "route", "show", "table", "all"]):
        destination = str(route.get("dst", "default"))
        if destination != "default" and ":" not in destination:
            taken.append(ip_network(destination, strict=False))
    for offset in range(NETWORKS):
        subnet = subnet_of((start + offset) % NETWORKS)
        if not any(ip_network(f"{subnet}.0/24").overlaps(network) for network in taken):
            return subnet
    raise BoxError(
        "boxes: no private network is free for the boxes", resolution="remove what is left with `make rehearse-clean`"
    )


def _json(argv: list[str]) -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = json.loads(call(argv) or "[]")
    return value
