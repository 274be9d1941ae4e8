"""A machine with rights of its own: when nobody renews its keys, they open the store; else what was brought does."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.emulation.s3.account import BUCKET, NUMBER, ROLE_ARN
from runner.emulation.s3.server import S3Server
from tests.unit.trainer.supervisor.metadata_service import Service
from trainer.__main__ import main
from trainer.checkpoints.complete import REQUIRED_FILES, complete
from trainer.checkpoints.keys import ENDS_AT
from trainer.events import read_events
from trainer.supervisor.outbox import Order, Outbox

FINGERPRINTS = {"recipe": "r", "data": "d", "base_model": "b", "environment": "e"}
URL = f"s3://{BUCKET}/runs/a-run"
PROFILE = "instance profile trainers"


@pytest.fixture
def machine(
    open_bucket: Callable[[str], Any],
    s3_server: Callable[[str], S3Server],
    service: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> S3Server:
    """A machine without credentials, whose metadata service has a role; the store that it knows, by its server."""
    open_bucket("strict")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED", raising=False)
    service.gives_role("trainers", session("the-machine"))
    server = s3_server("strict")
    server.requests.clear()
    return server


def session(name: str) -> Any:
    from moto.sts.models import sts_backends

    return sts_backends[NUMBER]["aws"].assume_role("us-east-1", name, ROLE_ARN, "", 3600, "")


def bring(path: Path, found: Any, ends_at: datetime) -> None:
    """Write the keys of a session as a runner does."""
    keys = {
        "AWS_ACCESS_KEY_ID": found.access_key_id,
        "AWS_SECRET_ACCESS_KEY": found.secret_access_key,
        "AWS_SESSION_TOKEN": found.session_token,
        "AWS_DEFAULT_REGION": "us-east-1",
        ENDS_AT: ends_at.isoformat(),
    }
    path.write_text(json.dumps(keys))


def save(output: Path, step: int) -> None:
    path = output / "checkpoints" / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in REQUIRED_FILES:
        (path / name).write_text(f"{name} of step {step}")
    complete(path, step, FINGERPRINTS)


def who_wrote(server: S3Server) -> set[str]:
    found = {asked.who for asked in server.requests if asked.method == "PUT" and not asked.refused}
    server.requests.clear()
    return found


def test_it_opens_the_store_between_the_end_of_its_keys_and_the_next_ones(machine: S3Server, tmp_path: Path) -> None:
    keys, output, now = tmp_path / "keys.json", tmp_path / "output", datetime.now(UTC)
    brought = session("the-runner")
    outbox = Outbox(Order(URL, machine.url, keys, machine.ca_file, PROFILE), output)
    wrote = []
    for step, is_over in ((2, False), (4, True), (6, True), (8, False)):
        brought.expiration = (now - timedelta(hours=1) if is_over else now + timedelta(hours=1)).replace(tzinfo=None)
        bring(keys, brought, brought.expiration.replace(tzinfo=UTC))
        save(output, step)
        assert outbox.send(), read_events(output / "events.jsonl")
        wrote.append(who_wrote(machine))

    assert wrote == [{"the-runner"}, {"the-machine"}, {"the-machine"}, {"the-runner"}]
    events = [event for event in read_events(output / "events.jsonl") if event["event"] == "store_by_own_rights"]
    assert [event["message"] for event in events] == [
        f"its keys have ended or are gone: {PROFILE} of this machine opens it"
    ]


def test_without_rights_of_its_own_it_asks_nobody(machine: S3Server, service: Service, tmp_path: Path) -> None:
    keys, brought = tmp_path / "keys.json", session("the-runner")
    brought.expiration -= timedelta(hours=2)
    bring(keys, brought, brought.expiration.replace(tzinfo=UTC))
    save(tmp_path / "output", 2)

    assert not Outbox(Order(URL, machine.url, keys, machine.ca_file), tmp_path / "output").send()

    (failed,) = read_events(tmp_path / "output" / "events.jsonl")
    assert (failed["event"], "ExpiredToken" in failed["message"]) == ("store_failed", True)
    assert service.asked == []


@pytest.mark.parametrize("are_lost", [True, False])
def test_the_last_upload_of_a_lease_goes_that_way_too(
    are_lost: bool, machine: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    keys = tmp_path / "keys.json"
    if not are_lost:
        bring(keys, session("the-runner"), datetime.now(UTC))
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "a").write_text("content")
    words = ["sync", "push", "--folder", str(tmp_path / "work"), "--url", URL, "--endpoint-url", machine.url]

    status = main([*words, "--ca-file", str(machine.ca_file), "--environment-file", str(keys), "--own-rights", PROFILE])

    assert (status, who_wrote(machine)) == (0, {"the-machine"})
