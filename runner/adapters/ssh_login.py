"""The way in to a machine behind SSH: a socket that notices silence, and the one host key that is taken."""

from __future__ import annotations

import socket
from pathlib import Path

import paramiko

from runner.errors import HostKeyError
from runner.run.run_dir import write_file
from runner.world import World

CONNECT_S = 15.0
SILENCE_MS = 15_000
"""How long sent bytes may stay unacknowledged before the kernel gives the connection up (``TCP_USER_TIMEOUT``)."""


class PinFirst(paramiko.MissingHostKeyPolicy):
    """Pins the first host key of a run; once one is pinned, no other is taken."""

    def __init__(self, known_hosts: Path, promised: str | None) -> None:
        """Take the key that was ``promised``, or the first that is seen; it is kept in ``known_hosts``."""
        self._known_hosts, self._promised = known_hosts, promised

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Pin the key, or refuse it."""
        shown = f"{key.get_name()} {key.get_base64()}"
        wrong = self._promised is not None and shown != " ".join(self._promised.split()[:2])
        if wrong:
            raise HostKeyError(
                f"ssh: {hostname} shows another host key ({key.get_fingerprint().hex(':')}) than the machine was given",
                resolution="another machine answers at its address, and nothing was sent; `make resume` rents another",
            )
        if self._known_hosts.exists():
            raise wrong_key(hostname, key.get_fingerprint(), self._known_hosts)
        client.get_host_keys().add(hostname, key.get_name(), key)
        write_file(self._known_hosts, f"{hostname} {shown}\n".encode())


def wrong_key(name: str, fingerprint: bytes, known_hosts: Path) -> HostKeyError:
    """Return the error for another host key than the pinned one."""
    return HostKeyError(
        f"ssh: {name} shows another host key ({fingerprint.hex(':')}) than the one pinned in {known_hosts}",
        resolution="find out which machine answers there; if you reinstalled it on purpose, delete that file",
    )


def open_socket(world: World, address: str, port: int) -> socket.socket:
    """Return a connection that a silent network ends within seconds."""
    sock = world.connect(address, port, CONNECT_S)
    if not isinstance(sock, socket.socket):
        raise TypeError("SSH needs a real connection")  # a virtual world has a stand-in of SSH, not of its sockets
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_USER_TIMEOUT", SILENCE_MS), ("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5)):
        option = getattr(socket, name, None)  # not all of them are on every system
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock
