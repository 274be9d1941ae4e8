"""The notice of a reclaim, from a metadata service on loopback: EC2's manners, and those of services that are none."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from tests.unit.trainer.supervisor.metadata_service import NOTICE, Service
from trainer.events import EventLog, read_events
from trainer.supervisor import spot_notice as module
from trainer.supervisor.spot_notice import MetadataService, Notice, ask_to_end, keep_asking, read_notice

READ = Notice("terminate", datetime(2026, 11, 29, 12, 2, tzinfo=UTC))


def test_there_is_no_notice_until_there_is_one_and_a_token_is_asked_for_once(service: Service) -> None:
    asked = MetadataService(service.url)

    assert [asked.notice(), asked.notice()] == [None, None]
    service.takes_back()
    assert asked.notice() == READ
    assert service.asked == ["PUT /latest/api/token"] + ["GET /latest/meta-data/spot/instance-action"] * 3


def test_a_token_that_is_not_taken_any_more_is_renewed(service: Service) -> None:
    asked = MetadataService(service.url)
    asked.notice()
    service.token = "another"
    service.takes_back()

    assert [asked.notice(), asked.notice()] == [None, READ]


@pytest.mark.parametrize("proxy", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_no_proxy_is_asked(service: Service, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    service.takes_back()

    assert MetadataService(service.url).notice() == READ


@pytest.mark.parametrize("status", [301, 302, 404, 500])
def test_what_is_no_plain_yes_is_no_notice_and_leads_nowhere(service: Service, status: int) -> None:
    service.takes_back()
    service.status = status

    assert MetadataService(service.url).notice() is None


@pytest.mark.parametrize("token", ["", "two\r\nlines", "x" * 600, "ü"])
def test_a_token_that_is_none_is_never_sent(service: Service, token: str) -> None:
    service.token = token
    service.takes_back()

    assert MetadataService(service.url).notice() is None
    assert service.asked == ["PUT /latest/api/token"]


def test_a_machine_without_such_a_service_has_no_notice() -> None:
    assert MetadataService("http://127.0.0.1:9").notice() is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"[]",
        b'{"action": "dance", "time": "2026-11-29T12:02:00Z"}',
        b'{"action": ["stop"], "time": "2026-11-29T12:02:00Z"}',
        b'{"action": "stop", "time": "soon"}',
        b'{"action": "stop", "time": "2026-11-29T12:02:00"}',
        b'{"action": "stop", "time": "0001-01-01T00:00:00+23:00"}',
        b'{"action": "stop", "time": 3}',
        b"[" * 100_000,
        json.dumps(NOTICE | {"more": "x" * module.MOST_BYTES}).encode()[: module.MOST_BYTES],
    ],
)
def test_an_answer_that_holds_no_notice_is_none(body: bytes) -> None:
    assert read_notice(body) is None
    assert read_notice(json.dumps(NOTICE).encode()) == READ


def test_a_notice_is_an_event_and_asks_the_supervisor_for_the_end(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    log = EventLog(tmp_path / "events.jsonl")
    log.write("step", step=6)
    log.close()
    own = psutil.Process()
    who = {"supervisor_pid": own.pid, "supervisor_started": own.create_time()}
    who |= {"trainer_pid": own.pid, "trainer_started": 0.0}
    (tmp_path / "supervisor.json").write_text(json.dumps(who))
    waits: list[float] = []

    def is_over(wait_s: float) -> bool:
        waits.append(wait_s)
        service.takes_back()
        return False

    keep_asking(tmp_path, service.url, is_over=is_over)

    (event,) = [event for event in read_events(tmp_path / "events.jsonl") if event["event"] == "reclaimed"]
    assert (event["step"], event["action"], event["at"]) == (6, "terminate", "2026-11-29T12:02:00+00:00")
    assert sent == [(own.pid, signal.SIGTERM)]
    assert waits == [module.EVERY_S]


def test_without_a_supervisor_the_trainer_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(pid))
    own = psutil.Process()
    who = {"supervisor_pid": own.pid, "supervisor_started": 0.0}
    who |= {"trainer_pid": own.pid, "trainer_started": own.create_time()}
    (tmp_path / "supervisor.json").write_text(json.dumps(who))

    assert ask_to_end(tmp_path)

    assert sent == [own.pid]


def test_a_notice_that_comes_before_the_trainer_is_told_once_it_is_there(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(pid))
    own, waits = psutil.Process(), list[float]()

    def is_over(wait_s: float) -> bool:
        waits.append(wait_s)
        who = {"supervisor_pid": own.pid, "supervisor_started": own.create_time()}
        (tmp_path / "supervisor.json").write_text(json.dumps(who))
        return False

    service.takes_back()
    keep_asking(tmp_path, service.url, is_over=is_over)

    assert (sent, len(waits)) == ([own.pid], 1)


def test_it_ends_with_the_trainer(tmp_path: Path, service: Service) -> None:
    keep_asking(tmp_path, service.url, is_over=lambda _: True)

    assert not (tmp_path / "events.jsonl").exists()
