"""The emulated clouds as a program of their own, without boxes."""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest

from runner.adapters import process
from runner.cloud_api.pacing import clock_off
from runner.clouds.aws.api import open_aws
from runner.emulation.remotes import REMOTES
from runner.emulation.s3.account import BUCKET, ROLE_ARN
from runner.rehearsal import serve
from runner.rehearsal.services import emulated_clouds
from runner.rehearsal.store import GIVEN, has_checkpoint
from runner.run.run_dir import PROJECT
from tests.unit.runner.emulation.emulated import BEARER, KEY_LINE, POD
from trainer.checkpoints.complete import MANIFEST_NAME
from trainer.checkpoints.places import open_place
from trainer.checkpoints.push import push
from trainer.errors import StoreError

WAIT_S = 240.0


SIGNALLED = """import os, sys
from runner.emulation.paper_yard import PaperYard
from runner.rehearsal import serve
number = int(sys.argv.pop(1))
class Yard(PaperYard):
    gateway = login = None
    def __init__(self, folder, name):
        super().__init__()
        os.kill(os.getpid(), number)
    def close(self):
        os.kill(os.getpid(), number)
        print("closed", flush=True)
serve.Yard = Yard
sys.exit(serve.main(sys.argv[1:]))
"""
"""A program that gets a signal while its yard opens, and another one while it closes."""


@dataclass
class Served:
    """A running program and its endpoints."""

    child: process.Child
    endpoints: dict[str, str]

    def control(self, path: str) -> Any:
        return httpx2.get(self.endpoints["control"] + path, timeout=WAIT_S).json()

    def fault(self, name: str, **arguments: Any) -> None:
        body = {"name": name, "args": arguments}
        assert httpx2.post(self.endpoints["control"] + "/faults", json=body, timeout=WAIT_S).status_code == 201

    def pod(self) -> httpx2.Response:
        return httpx2.post(self.endpoints["runpod"] + "/pods", json=POD, headers=BEARER, timeout=WAIT_S)


def start(folder: Path, *more: str) -> process.Child:
    words = ["-m", "runner.rehearsal.serve", "--folder", str(folder), "--boxes", "none", *more]
    return process.start([sys.executable, *words], log=folder.parent / "serve.log", cwd=PROJECT)


def wait_for(path: Path, child: process.Child) -> dict[str, str]:
    deadline = time.monotonic() + WAIT_S
    while not path.exists():
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    endpoints: dict[str, str] = json.loads(path.read_text())
    return endpoints


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    child = start(tmp_path / "rehearsal", "--clouds", "lambda,runpod")
    try:
        yield Served(child, wait_for(tmp_path / "rehearsal" / "endpoints.json", child))
    finally:
        child.end(20)


def test_endpoints_are_on_loopback_and_answer(served: Served) -> None:
    assert set(served.endpoints) == {
        "control",
        "lambda",
        "runpod",
        "runpod_graphql",
        "runpod_from_boxes",
        "runpod_graphql_from_boxes",
    }
    assert {urlsplit(url).hostname for url in served.endpoints.values()} == {"127.0.0.1"}
    assert httpx2.get(served.endpoints["lambda"] + "/instances", headers=BEARER).json() == {"data": []}
    assert httpx2.get(served.endpoints["runpod"] + "/pods", headers=BEARER).json()["pods"] == []
    assert served.control("/health")["status"] == "ok"


@pytest.mark.parametrize("hours", [0, 2, -2])
def test_every_answer_has_one_date_and_it_is_that_of_the_clouds_clock(served: Served, hours: int) -> None:
    if hours:
        served.fault("clock_off", cloud="runpod", hours=hours)

    answers = [httpx2.get(served.endpoints["runpod"] + "/pods", headers=BEARER, timeout=WAIT_S) for _ in range(2)]
    unknown = httpx2.get(served.endpoints["runpod"] + "/pods", timeout=WAIT_S)
    other = httpx2.get(served.endpoints["lambda"] + "/instances", headers=BEARER, timeout=WAIT_S)

    for answer, wanted_h in [*((answer, hours) for answer in (*answers, unknown)), (other, 0)]:
        (date,) = answer.headers.get_list("date")
        off = clock_off({"date": date}, datetime.now(UTC))
        assert off is not None
        assert round(off.total_seconds() / 3600) == wanted_h


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_it_with_status_0(served: Served, number: signal.Signals) -> None:
    served.child.signal(number)

    assert served.child.wait(WAIT_S) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_at_any_moment_lets_the_yard_be_closed(tmp_path: Path, number: signal.Signals) -> None:
    words = [str(int(number)), "--clouds", "lambda", "--folder", str(tmp_path / "rehearsal")]
    child = process.start([sys.executable, "-c", SIGNALLED, *words], log=tmp_path / "log", cwd=PROJECT)

    assert child.wait(WAIT_S) == 0
    assert (tmp_path / "log").read_text() == "closed\n"


def test_lost_answer_is_a_broken_connection_and_a_pod_that_bills(served: Served) -> None:
    served.fault("launch_500_after_create", lost=True, cloud="runpod")

    with pytest.raises(httpx2.TransportError):
        served.pod()

    (machine,) = served.control("/machines")["machines"]
    assert (machine["is_billing"], machine["name"]) == (True, POD["name"])


def test_broken_clients_do_no_harm(served: Served) -> None:
    address = urlsplit(served.endpoints["lambda"])
    for sent in (b"", b"\x00\xff nonsense\r\n\r\n", b"POST /api/v1/ssh-keys HTTP/1.1\r\nContent-Length: 999\r\n\r\n{"):
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=WAIT_S) as client:
            client.sendall(sent)

    assert httpx2.get(served.endpoints["lambda"] + "/instances", headers=BEARER).status_code == 200


@pytest.mark.parametrize(("fault", "machines"), [("before_create", 0), ("after_create", 1)])
def test_runner_is_killed_at_launch(served: Served, tmp_path: Path, fault: str, machines: int) -> None:
    runner = process.start([sys.executable, "-c", "import time; time.sleep(300)"], log=tmp_path / "runner.log")
    try:
        httpx2.post(served.endpoints["control"] + "/runner", json={"pid": runner.pid}, timeout=WAIT_S)
        served.fault(f"kill_runner@{fault}", cloud="runpod")

        served.pod()

        assert runner.wait(WAIT_S) == -signal.SIGKILL
        assert len(served.control("/machines")["machines"]) == machines
        assert [fired["name"] for fired in served.control("/faults")["fired"]] == [f"kill_runner@{fault}"]
    finally:
        runner.kill()


def test_runner_is_killed_when_it_asks_for_the_end(served: Served, tmp_path: Path) -> None:
    runner = process.start([sys.executable, "-c", "import time; time.sleep(300)"], log=tmp_path / "runner.log")
    try:
        httpx2.post(served.endpoints["control"] + "/runner", json={"pid": runner.pid}, timeout=WAIT_S)
        served.fault("kill_runner@destroy", cloud="runpod")
        pod = served.pod().json()["id"]

        httpx2.delete(served.endpoints["runpod"] + f"/pods/{pod}", headers=BEARER, timeout=WAIT_S)

        assert runner.wait(WAIT_S) == -signal.SIGKILL
        assert served.control("/machines")["machines"][0]["is_billing"]
    finally:
        runner.kill()


def test_timed_fault_happens_without_any_request(served: Served) -> None:
    served.fault("box_deleted_in_console", cloud="runpod")
    served.pod()

    deadline = time.monotonic() + WAIT_S
    while served.control("/machines")["machines"][0]["is_billing"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_ends_when_whom_it_serves_is_gone_and_takes_the_runner_along(tmp_path: Path) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(300)"]
    owner, runner = (process.start(sleeper, log=tmp_path / "log") for _ in range(2))
    child = start(tmp_path / "rehearsal", "--clouds", "lambda", "--until-pid", str(owner.pid))
    try:
        endpoints = wait_for(tmp_path / "rehearsal" / "endpoints.json", child)
        httpx2.post(endpoints["control"] + "/runner", json={"pid": runner.pid}, timeout=WAIT_S)
        assert child.poll() is None

        owner.kill()

        assert child.wait(WAIT_S) == 0
        assert runner.wait(WAIT_S) == -signal.SIGKILL
    finally:
        for one in (owner, runner):
            one.kill()
        child.end(20)


@pytest.mark.parametrize("clouds", ["", "lambda,moon"])
def test_cloud_that_there_is_not_is_bad_usage(tmp_path: Path, clouds: str) -> None:
    child = start(tmp_path / "rehearsal", "--clouds", clouds)

    assert child.wait(WAIT_S) == 2
    assert "--clouds: use lambda, runpod, aws" in (tmp_path / "serve.log").read_text()


def test_a_hub_is_served_with_what_a_folder_has_and_keeps_a_log(tmp_path: Path) -> None:
    model = tmp_path / "hub" / "models" / "org" / "name"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    folder = tmp_path / "rehearsal"
    child = start(folder, "--clouds", "lambda", "--hub", str(tmp_path / "hub"))
    try:
        url = wait_for(folder / "endpoints.json", child)["hub"]
        said = httpx2.get(url + "/api/models/org/name", headers=BEARER, timeout=WAIT_S)
        named = httpx2.get(url + "/api/models/org/name", timeout=WAIT_S).json()["id"]
    finally:
        child.end(20)

    assert (said.status_code, named) == (401, "org/name")
    lines = [json.loads(line) for line in (folder / "hub-log.jsonl").read_text().splitlines()]
    assert [(line["path"], line["who"], line["status"]) for line in lines] == [
        ("/api/models/org/name", "?", 401),
        ("/api/models/org/name", None, 200),
    ]


def test_a_hub_whose_settings_are_none_is_bad_usage(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "hub.json").write_text("{")
    child = start(tmp_path / "rehearsal", "--clouds", "lambda", "--hub", str(tmp_path / "hub"))

    assert child.wait(WAIT_S) == 2
    assert "hub.json" in (tmp_path / "serve.log").read_text()


def test_a_store_is_served_in_the_account_that_gives_out_its_keys_and_keeps_a_log(tmp_path: Path) -> None:
    folder = tmp_path / "rehearsal"
    child = start(folder, "--clouds", "lambda,aws", "--store", "strict")
    try:
        endpoints = wait_for(folder / "endpoints.json", child)
        environ = dict(emulated_clouds()["aws"].environment(endpoints))
        account = open_aws(environ, now=lambda: datetime.now(UTC))
        found = account.sts_credentials_for_prefix(BUCKET, "runs/a-run", ROLE_ARN)
        keys = {
            "AWS_ACCESS_KEY_ID": found.access_key_id,
            "AWS_SECRET_ACCESS_KEY": found.secret_access_key,
            "AWS_SESSION_TOKEN": found.session_token,
        }
        way: dict[str, Any] = {"endpoint_url": endpoints["store"], "keys": keys, "ca_file": folder / "store" / "ca.pem"}
        (tmp_path / "work").mkdir()
        (tmp_path / "work" / "a").write_text("content")
        done = push(tmp_path / "work", f"s3://{BUCKET}/runs/a-run", **way)
        with pytest.raises(StoreError, match="AccessDenied"):
            push(tmp_path / "work", f"s3://{BUCKET}/runs/another", **way)
    finally:
        child.end(20)

    lines = [json.loads(line) for line in (folder / "store-log.jsonl").read_text().splitlines()]
    assert done.files == 1
    assert {line["who"] for line in lines if not line["refused"]} == {"douse-a-run"}
    assert "AccessDenied" in {line["refused"] for line in lines}


@pytest.mark.parametrize("kind", [*REMOTES, GIVEN])
def test_a_remote_of_rclone_is_served_empty_and_goes_with_the_emulators(
    kind: str, rclone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "re hearsal"
    child = start(folder, "--clouds", "lambda", "--store", kind)
    try:
        url = wait_for(folder / "endpoints.json", child)["store"]
        monkeypatch.setenv("RCLONE_CONFIG", str(folder / "store" / "rclone.conf"))
        place = open_place(f"{url}/a-run", None, rclone=rclone)
        before = place.sizes()
        place.write(b"{}", f"checkpoints/checkpoint-3/{MANIFEST_NAME}")
        is_there = has_checkpoint(folder, "a-run")
    finally:
        child.end(20)

    assert (before, is_there, has_checkpoint(folder, "another")) == ({}, True, False)
    if kind != "local":
        with pytest.raises(StoreError):
            place.sizes()


def test_a_store_of_no_known_manner_is_bad_usage(tmp_path: Path) -> None:
    child = start(tmp_path / "rehearsal", "--clouds", "lambda", "--store", "ftp")

    assert child.wait(WAIT_S) == 2


def test_pace_of_lambda_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUSE_LAMBDA_PACE_S", "0")
    child = start(tmp_path / "rehearsal", "--clouds", "lambda")
    try:
        url = wait_for(tmp_path / "rehearsal" / "endpoints.json", child)["lambda"]
        with httpx2.Client(base_url=url, headers=BEARER, timeout=WAIT_S) as client:
            statuses = {client.get("/instances").status_code for _ in range(10)}
            made = client.post("/ssh-keys", json={"name": "k", "public_key": KEY_LINE})
    finally:
        child.end(20)

    assert (statuses, made.status_code) == ({200}, 200)
    assert not [p for p in psutil.process_iter(["pid"]) if p.pid == child.pid and p.status() != psutil.STATUS_ZOMBIE]


class SharedYard:
    """A yard whose boxes are logins of this machine."""

    gateway = None
    login = ("me", 2222)
    closed: ClassVar[list[bool]] = []

    def __init__(self, folder: Path, name: str) -> None:
        """Claim nothing."""
        self.closed.clear()

    def close(self) -> None:
        self.closed.append(True)


def test_the_account_of_a_store_is_served_where_boxes_are_logins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "Yard", SharedYard)
    words = ["--clouds", "lambda,aws", "--store", "strict", "--folder", str(tmp_path / "rehearsal")]

    _, _, known = serve._open_yard(serve._options(words))

    assert known == {"logins": "ssh://me@127.0.0.1:2222"}


def test_aws_is_refused_where_boxes_are_logins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "Yard", SharedYard)

    assert serve.main(["--clouds", "aws", "--folder", str(tmp_path / "rehearsal")]) == 2
    assert "aws needs real boxes here: an instance terminates itself by powering off" in capsys.readouterr().err
    assert SharedYard.closed == [True]
