"""The emulated metadata service, asked by the trainer's own supervisor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import pytest

from runner.emulation.boxes.guest.metadata import NOTICE_PATH, TOKEN_PATH, TTL_HEADER, serve
from trainer.supervisor.spot_notice import MetadataService, Notice


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    server = serve(tmp_path / "notice.json", "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield int(server.server_address[1])
    server.shutdown()
    thread.join(10)
    server.server_close()


def status_of(port: int, method: str, path: str, **headers: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_the_supervisor_reads_the_notice_once_it_is_there(port: int, tmp_path: Path) -> None:
    service = MetadataService(f"http://127.0.0.1:{port}")
    assert service.notice() is None

    (tmp_path / "notice.json").write_text('{"action": "terminate", "time": "2026-11-29T12:02:00Z"}')

    assert service.notice() == Notice("terminate", datetime(2026, 11, 29, 12, 2, tzinfo=UTC))


def test_without_a_token_nothing_is_told_as_where_tokens_are_required(port: int) -> None:
    assert status_of(port, "GET", NOTICE_PATH) == 401
    assert status_of(port, "PUT", TOKEN_PATH) == 400
    assert status_of(port, "PUT", TOKEN_PATH, **{TTL_HEADER: "0"}) == 400
    assert status_of(port, "PUT", "/latest/dynamic", **{TTL_HEADER: "60"}) == 404
