"""Remotes of rclone's for the tests: a folder of this machine, and WebDAV on loopback, served by rclone itself.

The first has every sum, the second has none. rclone comes from PATH or from its own environment (`python3 -m
runner.bootstrap rclone`); where neither has it, these tests are skipped, but not in CI.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import quote

import pytest

from runner.adapters.rclone import rclone_program
from runner.world import RealWorld

REMOTES = ("local", "webdav")
WAIT_S = 120.0


@pytest.fixture(scope="session")
def rclone() -> str:
    """rclone's program."""
    found = rclone_program(RealWorld())
    if found is None:
        reason = "needs rclone: `python3 -m runner.bootstrap rclone` brings it"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def rclone_webdav(rclone: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """What serves WebDAV, once, and returns its address."""
    started: list[subprocess.Popen[bytes]] = []

    @cache
    def serve() -> str:
        place = tmp_path_factory.mktemp("webdav")
        (place / "served").mkdir()
        environ = os.environ | {"RCLONE_CONFIG": str(place / "none")}
        with (place / "log").open("wb") as log:
            command = [rclone, "serve", "webdav", "--addr", "127.0.0.1:0", str(place / "served")]
            started.append(subprocess.Popen(command, env=environ, stdout=log, stderr=log))
        deadline_s = time.monotonic() + WAIT_S
        while (found := re.search(r"http://127\.0\.0\.1:\d+", (place / "log").read_text())) is None:
            assert started[0].poll() is None, (place / "log").read_text()
            assert time.monotonic() < deadline_s, "rclone serves nothing"
            time.sleep(0.02)
        return found[0]

    yield serve
    for process in started:
        process.terminate()
        process.wait(WAIT_S)


@pytest.fixture
def open_remote(
    rclone: str, rclone_webdav: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """What leads rclone to an empty remote of some kind, and returns the address of a store there."""

    def open_one(kind: str) -> str:
        on_path, config = tmp_path / "rclone-on-path", tmp_path / "rclone.conf"
        on_path.mkdir()
        (on_path / "rclone").symlink_to(rclone)
        monkeypatch.setenv("PATH", f"{on_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("RCLONE_CONFIG", str(config))
        monkeypatch.delenv("RCLONE_CONFIG_PASS", raising=False)
        if kind == "local":
            config.write_text("[local]\ntype = local\n")
            return f"rclone://local/{quote(str(tmp_path / 'the store'))}"
        config.write_text(f"[webdav]\ntype = webdav\nurl = {rclone_webdav()}\nvendor = other\n")
        return f"rclone://webdav/{tmp_path.name}/the%20store"  # of each test its own: the server keeps what it has seen

    return open_one
