"""A whole run, with a stand-in for the trainer, on a gateway of one's own that speaks S3 over TLS."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.s3_servers import BUCKET, S3Server
from tests.unit.runner.conftest import CommandLine


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
    store = [word for key, value in keys.items() for word in ("--set", f"store.{key}={value}")]

    failed = command_line.train("steps=20", "die_at=8", extra=tuple(store))
    run = command_line.latest()
    shutil.rmtree(run / "checkpoints")
    resumed = command_line.run("resume", "--set", "publishing.tags=[steps=20]")

    assert (failed.returncode, resumed.returncode) == (1, 0), failed.stderr + resumed.stderr
    assert "fetched: s3://" in resumed.stdout
    assert (run / "receipt.json").is_file()
    stored = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert f"runs/{run.name}/adapter/SHA256SUMS" in stored
