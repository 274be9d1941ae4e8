"""A whole run, with a stand-in for the trainer, on a gateway of one's own that speaks S3 over TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runner.emulation.s3.account import BUCKET
from runner.emulation.s3.server import S3Server
from tests.unit.runner.conftest import CommandLine
from tests.unit.runner.lifecycle.from_a_store import fail_and_go_on


def test_a_run_that_fails_goes_on_from_the_store_and_ends_with_a_receipt(
    open_bucket: Callable[[str], Any],
    s3_server: Callable[[str], S3Server],
    command_line: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, server = open_bucket("gateway"), s3_server("gateway")
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name)
    keys = {"url": f"s3://{BUCKET}/runs", "endpoint_url": server.url, "ca_file": server.ca_file}

    run, said = fail_and_go_on(command_line, *(f"store.{key}={value}" for key, value in keys.items()))

    assert "fetched: s3://" in said
    stored = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert f"runs/{run.name}/adapter/SHA256SUMS" in stored
