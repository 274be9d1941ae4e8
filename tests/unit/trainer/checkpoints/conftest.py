"""Stores for the tests: S3 over TLS in three manners, and a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.s3_servers import BUCKET, MANNERS


@pytest.fixture
def bucket(open_bucket: Callable[[str], Any]) -> Any:
    """A client of an empty bucket, for what is tried in the most difficult of the manners alone."""
    return open_bucket("gateway")


@pytest.fixture(params=[*MANNERS, "file"])
def any_url(request: pytest.FixtureRequest, open_bucket: Callable[[str], Any], tmp_path: Path) -> str:
    """The address of an empty store of each kind, for what every store has to be able to do."""
    return address(request.param, open_bucket, tmp_path)


@pytest.fixture(params=["gateway", "file"])
def url(request: pytest.FixtureRequest, open_bucket: Callable[[str], Any], tmp_path: Path) -> str:
    """The address of an empty store, one of each of our two programs, for what is the same with any S3."""
    return address(request.param, open_bucket, tmp_path)


def address(kind: str, open_bucket: Callable[[str], Any], folder: Path) -> str:
    """Return the address of a store of some kind."""
    if kind == "file":
        return f"file://{folder}/the%20store"
    open_bucket(kind)
    return f"s3://{BUCKET}/runs/one"
