"""Whole runs, with a stand-in for the trainer, on a gateway of one's own that speaks S3 over TLS, whatever it does."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runner.emulation.s3.account import BUCKET
from runner.emulation.s3.requests import RefusalError
from runner.emulation.s3.server import S3Server
from runner.errors import EXIT_FAILED
from tests.unit.runner.conftest import CommandLine
from tests.unit.runner.lifecycle.from_a_store import fail_and_go_on
from trainer.checkpoints.complete import MANIFEST_NAME


@dataclass
class Store:
    """A gateway with an empty bucket.

    Attributes:
        client: A client that is not Douse's.
        server: The gateway.
    """

    client: Any
    server: S3Server

    @property
    def settings(self) -> list[str]:
        where = {"url": f"s3://{BUCKET}/runs", "endpoint_url": self.server.url, "ca_file": self.server.ca_file}
        return [f"store.{key}={value}" for key, value in where.items()]

    def names(self) -> list[str]:
        return [entry["Key"] for entry in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


@pytest.fixture
def store(
    open_bucket: Callable[[str], Any], s3_server: Callable[[str], S3Server], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    found = Store(open_bucket("gateway"), s3_server("gateway"))
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name)
    without = found.server.trouble
    yield found
    found.server.trouble = without


class BadDay:
    """What refuses the first uploads of checkpoints (503), and cuts the next ones off in the middle of a file."""

    def __init__(self, refused: int, cut: int) -> None:
        self.refused, self.cut = refused, cut

    def __call__(self, environ: dict[str, Any]) -> None:
        is_upload = environ["REQUEST_METHOD"] == "PUT" and "/checkpoints/" in environ["PATH_INFO"]
        if not is_upload or self.refused + self.cut == 0:
            return
        if self.refused:
            self.refused -= 1
            raise RefusalError("503 Slow Down", "SlowDown")
        self.cut -= 1
        environ["wsgi.input"].read(10)
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionResetError


def test_a_run_that_fails_goes_on_from_the_store_and_ends_with_a_receipt(
    store: Store, command_line: CommandLine
) -> None:
    bad_day = store.server.trouble = BadDay(refused=6, cut=2)

    run, said = fail_and_go_on(command_line, *store.settings)

    assert (bad_day.refused, bad_day.cut) == (0, 0)
    assert "fetched: s3://" in said
    assert "going on from step 6" in said
    assert f"runs/{run.name}/adapter/SHA256SUMS" in store.names()


def lose_manifest(store: Store, checkpoint: str) -> None:
    store.client.delete_object(Bucket=BUCKET, Key=f"{checkpoint}/{MANIFEST_NAME}")


def damage_file(store: Store, checkpoint: str) -> None:
    store.client.put_object(Bucket=BUCKET, Key=f"{checkpoint}/optimizer.pt", Body=b"of another run")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("happens", "words"),
    [
        pytest.param(lose_manifest, "", id="manifest_missing"),
        pytest.param(damage_file, "checkpoint-18", id="file_corrupt"),
    ],
)
def test_of_what_is_in_the_store_the_newest_whole_checkpoint_counts(
    happens: Callable[[Store, str], None], words: str, store: Store, command_line: CommandLine
) -> None:
    def meanwhile(run: Path) -> None:
        """Let it fail once more, further on, and damage what it has stored then."""
        again = command_line.run("resume", "--set", "publishing.tags=[steps=20, fail]")
        assert again.returncode == EXIT_FAILED, again.stderr
        shutil.rmtree(run / "checkpoints")
        happens(store, f"runs/{run.name}/checkpoints/checkpoint-18")

    run, said = fail_and_go_on(command_line, *store.settings, meanwhile=meanwhile)

    assert "going on from step 6" in said
    assert words in said.partition("going on from step 6")[0]
    assert (run / "adapter" / "adapter_model.safetensors").read_text() == "trained 20 steps"


def test_where_the_store_takes_nothing_any_more_all_is_at_home_and_the_error_says_so(
    store: Store, command_line: CommandLine
) -> None:
    def forbid(environ: dict[str, Any]) -> None:
        if environ["REQUEST_METHOD"] == "PUT":
            raise RefusalError("403 Forbidden", "AccessDenied")

    store.server.trouble = forbid

    done = command_line.train("steps=3", extra=tuple(word for one in store.settings for word in ("--set", one)))

    lines = [line for line in done.stderr.splitlines() if line.startswith(("error:", "hint:", "log:"))]
    run = command_line.latest()
    assert done.returncode == EXIT_FAILED, done.stdout + done.stderr
    assert lines[0].endswith("refuses: AccessDenied")
    assert f"make sync RUN={run.name}" in lines[1]
    assert len(lines) == 3
    assert (run / "adapter" / "adapter_model.safetensors").read_text() == "trained 3 steps"
    assert (run / "receipt.json").is_file()
    assert store.names() == []
