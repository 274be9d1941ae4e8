"""The other end of what a runner prints: a real terminal or a real pipe, which goes away on SIGUSR1.

``python -m runner.rehearsal.listener terminal|pipe PROGRAM …`` runs a program in a session of its own, prints what it
prints, and ends with its exit status. What it prints after SIGUSR1 reaches nobody; from a terminal the kernel sends it
SIGHUP besides.
"""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import sys
from collections.abc import Sequence

from runner.adapters import process

CHUNK_BYTES = 65536
WAIT_S = 3600.0


def main(argv: Sequence[str]) -> int:
    """Run the program to its end; return its exit status, or minus the signal that ended it."""
    kind, *program = argv
    heard, spoken = pty.openpty() if kind == "terminal" else os.pipe()
    child = process.start_heard(program, spoken, is_terminal=kind == "terminal")
    os.close(spoken)
    signal.signal(signal.SIGUSR1, lambda *_: os.close(heard))
    _repeat(heard)
    while (status := child.wait(WAIT_S)) is None:
        continue
    return status


def _repeat(heard: int) -> None:
    """Print what is heard, until the program has closed its end, or this end is gone."""
    with contextlib.suppress(OSError):  # a terminal whose program has ended, or an end that is closed here
        while chunk := os.read(heard, CHUNK_BYTES):
            os.write(1, chunk)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]) % 256)
