"""Remotes of rclone's on this computer: a folder, which has every sum, and WebDAV, which has none."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from runner.adapters import process
from runner.errors import ToolError
from trainer.checkpoints.rclone_program import without_rclones

REMOTES = ("local", "webdav")
LOOPBACK, USER = "127.0.0.1", "douse"
START_S = 60.0
END_S = 10.0
ADDRESS = re.compile(r"http://[\d.]+:\d+")
OF_ITS_MAKER = ("setpriv", "--pdeathsig", "TERM")
"""Ends a program with the process that started it, also with one that was killed; Linux has it."""


def configuration(kind: str, url: str = "", password: str = "") -> str:
    """Return what rclone's configuration has of a remote, which is named as its kind.

    Args:
        kind: One of ``REMOTES``.
        url: Where WebDAV is served.
        password: What opens it, as rclone obscures it; empty where it is open.
    """
    rest = f"url = {url}\nvendor = other\n" if kind == "webdav" else ""
    return f"[{kind}]\ntype = {kind}\n{rest}" + (f"user = {USER}\npass = {password}\n" if password else "")


def obscured(rclone: str, password: str) -> str:
    """Return a password as rclone's configuration has it."""
    return process.run([rclone, "obscure", password], timeout_s=START_S).stdout.strip()


@contextlib.contextmanager
def serve_webdav(rclone: str, served: Path, log: Path, host: str = LOOPBACK, password: str = "") -> Iterator[str]:
    """Serve a folder by WebDAV until the block ends; yield the address.

    Args:
        rclone: rclone's program.
        served: The folder.
        log: What rclone says; its folder is there.
        host: IP address to serve at.
        password: What ``USER`` has to give; empty leaves it open.

    Raises:
        ToolError: If it does not come up.
    """
    maker = OF_ITS_MAKER if shutil.which(OF_ITS_MAKER[0]) else ()
    argv = [*maker, rclone, "serve", "webdav", "--addr", f"{host}:0", str(served)]
    login = {"RCLONE_USER": USER, "RCLONE_PASS": password} if password else {}
    child = process.start(argv, log=log, env=without_rclones(os.environ) | {"RCLONE_CONFIG": os.devnull} | login)
    try:
        yield _address(child, log)
    finally:
        child.end(END_S)


def _address(child: process.Child, log: Path) -> str:
    deadline_s = time.monotonic() + START_S
    while (found := ADDRESS.search(log.read_text(errors="replace"))) is None:
        if child.poll() is not None or time.monotonic() > deadline_s:
            raise ToolError(
                f"rehearse: rclone does not serve WebDAV: {log.read_text(errors='replace')[-300:]}",
                resolution=f"see {log}",
            )
        time.sleep(0.02)
    return found[0]
