"""Notices by apprise, to real servers on loopback: what arrives, and what is said of what does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runner.adapters.notices import chats
from runner.adapters.notices.chats import UNREAD, send
from runner.adapters.notices.order import Notice
from tests.unit.runner.adapters.notices.receivers import MailServer, WebServer, refused_port, serving

NOTICE = Notice("failed", "run-1", "run-1 did not finish", "train: loss is NaN\x1b[2J <b>at step 3</b>")
SECRET = "s3cret-Token-0123456789"


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    with serving(server):
        yield server


@pytest.mark.parametrize("scheme", ["json", "http"])
def test_a_web_address_gets_json(web: WebServer, scheme: str) -> None:
    assert send(f"{scheme}://{web.place}/ok", NOTICE) is None

    [(path, body)] = web.got
    assert path == "/ok"
    assert (body["title"], body["type"]) == ("run-1 did not finish", "failure")
    assert body["message"] == "train: loss is NaN <b>at step 3</b>"  # what steers a terminal is gone


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("broken", "it answered with HTTP status 500"),
        ("elsewhere", "it answered with HTTP status 302"),
        ("elsewhere?redirect=yes", "it sends elsewhere, to where nothing is sent"),
        ("silent?rto=0.2", "no answer in time"),
    ],
)
def test_a_receiver_that_does_not_take_it_is_said_to(web: WebServer, path: str, problem: str) -> None:
    assert send(f"json://me:{SECRET}@{web.place}/{path}", NOTICE) == problem


def test_a_receiver_that_is_not_there_is_said_to_refuse() -> None:
    assert send(f"json://127.0.0.1:{refused_port()}/{SECRET}", NOTICE) == "it refuses the connection"


@pytest.mark.parametrize("url", ["nonsense", f"nope://{SECRET}", "slack://", "json://"])
def test_an_address_that_is_none_is_not_repeated(url: str) -> None:
    assert send(url, NOTICE) == UNREAD


def test_a_plug_in_that_fails_says_nothing_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(url: str) -> None:
        raise ValueError(url)

    monkeypatch.setattr(chats, "_receiver", fail)

    assert send(f"json://{SECRET}", NOTICE) == "apprise failed with ValueError"


def test_two_addresses_do_not_hear_each_other(web: WebServer) -> None:
    assert send(f"json://{web.place}/broken", NOTICE) == "it answered with HTTP status 500"
    assert send(f"json://127.0.0.1:{refused_port()}/", NOTICE) == "it refuses the connection"
    assert send(f"json://{web.place}/ok", NOTICE) is None


def test_a_mail_goes_to_a_mail_server() -> None:
    server = MailServer()
    with serving(server):
        problem = send(f"mailto://localhost:{server.port}?smtp=127.0.0.1&from=a@example.org&to=b@example.org", NOTICE)

    assert problem is None
    [mail] = server.mails
    assert "Subject: run-1 did not finish" in mail
    assert "train: loss is NaN" in mail
    assert "text/plain" in mail
    assert "text/html" not in mail  # these are a machine's words
