"""Stores of each kind, and the memory of a machine that is a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.emulation.s3.server import S3Server
from runner.store import arming
from tests.unit.runner.store.parts import ROLE, s3


@pytest.fixture
def private(
    open_bucket: Callable[[str], Any], s3_server: Callable[[str], S3Server], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """The section ``store`` for a gateway of one's own, which only the section itself leads to and vouches for."""
    open_bucket("gateway")
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name)
    server = s3_server("gateway")
    return s3(endpoint_url=server.url, ca_file=str(server.ca_file))


@pytest.fixture
def known(rclone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes rclone's configuration."""
    path = tmp_path / "rclone.conf"
    monkeypatch.setenv("RCLONE_CONFIG", str(path))
    return lambda text: (path.write_text(text), None)[1]


@pytest.fixture(autouse=True)
def no_logind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the logins of this machine alone."""
    if "linger" not in request.fixturenames and "root" not in request.node.name:
        monkeypatch.setattr(arming, "STAY", "exit 0")


@pytest.fixture(params=["s3", "s3-role", "s3-private", "file", "rclone"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The section ``store`` for an empty store of each kind."""
    if request.param == "file":
        return {"url": f"file://{tmp_path}/the%20store"}
    if request.param == "s3-private":
        return dict(request.getfixturevalue("private"))
    if request.param == "rclone":
        return {"url": request.getfixturevalue("open_remote")("local")}
    request.getfixturevalue("bucket")
    return s3(role_arn=ROLE if request.param == "s3-role" else None)
