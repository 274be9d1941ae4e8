"""Whether sshd answers: the machine's own word that it can be worked on."""

from __future__ import annotations

import contextlib

from runner.world import World

LONGEST_GREETING = 8192
"""Bytes of other lines that a server may send before its version (RFC 4253, 4.2)."""
ATTEMPT_S = 5.0


def sshd_answers(world: World, host: str, port: int, timeout_s: float = ATTEMPT_S) -> bool:
    """Return whether a server at the address greets as sshd does, within ``timeout_s``."""
    deadline = world.monotonic_s() + timeout_s
    try:
        with contextlib.closing(world.connect(host, port, timeout_s)) as connection:
            greeting = b""
            while len(greeting) < LONGEST_GREETING:
                if any(line.startswith(b"SSH-") for line in greeting.split(b"\n")[:-1]):
                    return True
                connection.settimeout(max(deadline - world.monotonic_s(), 0.001))
                part = connection.recv(1024)
                if not part:
                    return False
                greeting += part
    except OSError:  # refused, no route, silence: all of them mean "not yet"
        return False
    return False
