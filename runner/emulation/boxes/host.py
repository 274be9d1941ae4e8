"""This machine's programs, run briefly, with their words in the error when they fail."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import psutil

from runner.adapters.process import run
from runner.errors import ToolError

TIMEOUT_S = 30.0
ZOMBIE = psutil.STATUS_ZOMBIE
SBIN = "/usr/sbin:/sbin"
"""Where Debian keeps ``ip``, ``sshd`` and others, which is not on everybody's path."""


class BoxError(ToolError):
    """A box, its network or its disk cannot be made."""


def call(argv: Sequence[str], *, timeout_s: float = TIMEOUT_S, log: Path | None = None) -> str:
    """Run a program of this machine to its end and return what it wrote.

    Raises:
        BoxError: If it failed.
    """
    done = run(argv, timeout_s=timeout_s, env={"PATH": search_path()}, log=log)
    if done.exit_code != 0:
        raise BoxError(
            f"boxes: `{' '.join(argv[:4])}` ended with {done.exit_code}",
            details=done.last_words or None,
            resolution="clean up with `make rehearse-clean`, then run `make rehearse` again",
        )
    return done.stdout


def attempt(argv: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> bool:
    """Run a program that may find nothing to do; return whether it did something."""
    return run(argv, timeout_s=timeout_s, env={"PATH": search_path()}).exit_code == 0


def below(pid: int) -> list[psutil.Process]:
    """Return the running descendants of a process: for sshd, its sessions."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [child for child in psutil.Process(pid).children(recursive=True) if child.status() != ZOMBIE]
    return []


def search_path() -> str:
    """Return this process's program path, with the administrator's folders in it."""
    return f"{os.environ.get('PATH', os.defpath)}:{SBIN}"
