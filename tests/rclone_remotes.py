"""Remotes of rclone's for the tests: a folder of this machine, and WebDAV on loopback, served by rclone itself.

The first has every sum, the second has none. rclone comes from PATH or from its own environment (`python3 -m
runner.bootstrap rclone`); where neither has it, these tests are skipped, but not in CI.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import quote

import pytest

from runner.adapters.rclone import rclone_program
from runner.emulation.remotes import REMOTES, configuration, serve_webdav
from runner.world import RealWorld

__all__ = ["REMOTES", "open_remote", "rclone", "rclone_webdav"]


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
    with contextlib.ExitStack() as stack:

        @cache
        def serve() -> str:
            place = tmp_path_factory.mktemp("webdav")
            (place / "served").mkdir()
            return stack.enter_context(serve_webdav(rclone, place / "served", place / "log"))

        yield serve


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
        config.write_text(configuration(kind, rclone_webdav() if kind == "webdav" else ""))
        if kind == "local":
            return f"rclone://local/{quote(str(tmp_path / 'the store'))}"
        return f"rclone://webdav/{tmp_path.name}/the%20store"  # of each test its own: the server keeps what it has seen

    return open_one
