"""Whether sshd answers: the machine's own word that it can be worked on."""

from __future__ import annotations

import socket
import time

LONGEST_GREETING = 8192
"""Bytes of other lines that a server may send before its version (RFC 4253, 4.2)."""
ATTEMPT_S = 5.0


def sshd_answers(host: str, port: int, timeout_s: float = ATTEMPT_S) -> bool:
    """Tell whether a server at the address greets as sshd does, within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            greeting = b""
            while len(greeting) < LONGEST_GREETING:
                if any(line.startswith(b"SSH-") for line in greeting.split(b"\n")[:-1]):
                    return True
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                part = connection.recv(1024)
                if not part:
                    return False
                greeting += part
    except OSError:  # refused, no route, silence: all of them mean "not yet"
        return False
    return False
