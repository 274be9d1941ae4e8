"""Logging in to a box with the real ``ssh``, for tests."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

from runner.adapters.process import run
from runner.emulation.boxes import BoxAddress
from runner.run.models import Completed

WAIT_S = 240.0


class Login:
    """A key pair and what can be done with it."""

    def __init__(self, folder: Path) -> None:
        self.key = folder / "key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], timeout_s=30)
        self.public = self.key.with_suffix(".pub").read_text()

    def __call__(self, address: BoxAddress, command: str, timeout_s: float = 60) -> Completed:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5"]
        argv = ["ssh", "-F", "none", "-i", str(self.key), "-p", str(address.port)]
        argv += [word for option in [*options, "IdentitiesOnly=yes", "BatchMode=yes"] for word in ("-o", option)]
        return run([*argv, f"{address.user}@{address.host}", command], timeout_s=timeout_s)


def wait_until(done: Callable[[], bool], what: str) -> float:
    """Wait for something to be so; return how long it took, in seconds."""
    started = time.monotonic()
    while not done():
        assert time.monotonic() - started < WAIT_S, f"{what} did not happen in {WAIT_S:.0f} s"
        time.sleep(0.02)
    return time.monotonic() - started


def answers(address: BoxAddress) -> bool:
    """Return whether an sshd introduces itself there."""
    try:
        with socket.create_connection((address.host, address.port), 0.2) as sock:
            sock.settimeout(2)
            return sock.recv(4) == b"SSH-"
    except OSError:
        return False
