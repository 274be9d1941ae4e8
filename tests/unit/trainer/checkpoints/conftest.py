"""Stores for the tests: S3 over TLS in three manners, a folder, and two remotes of rclone's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.emulation.s3.account import BUCKET
from runner.emulation.s3.manners import MANNERS
from tests.rclone_remotes import REMOTES


@pytest.fixture
def bucket(open_bucket: Callable[[str], Any]) -> Any:
    """A client of an empty bucket, for what is tried in the most difficult of the manners alone."""
    return open_bucket("gateway")


@pytest.fixture(params=[*MANNERS, "file", *REMOTES])
def any_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store of each kind, for what every store has to be able to do."""
    return address(request, tmp_path)


@pytest.fixture(params=["gateway", "file", "local"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store, one of each of our three programs, for what is the same with any S3 or remote."""
    return address(request, tmp_path)


def address(request: pytest.FixtureRequest, folder: Path) -> str:
    """Return the address of a store of the kind that is asked for; only that one is opened."""
    kind: str = request.param
    if kind == "file":
        return f"file://{folder}/the%20store"
    if kind in REMOTES:
        open_remote: Callable[[str], str] = request.getfixturevalue("open_remote")
        return open_remote(kind)
    request.getfixturevalue("open_bucket")(kind)
    return f"s3://{BUCKET}/runs/one"
