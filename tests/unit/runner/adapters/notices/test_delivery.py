"""One notice to everybody: each on his own, each by a name without secrets, none for longer than the limit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runner.adapters.notices import delivery
from runner.adapters.notices.delivery import deliver
from runner.adapters.notices.order import Delivery, Notice, Order
from runner.world import RealWorld

NOTICE = Notice("finished", "run-1", "run-1 is done", "the adapter is here")
WRITES = "import os, sys; open(sys.argv[1], 'w').write('|'.join(os.environ['DOUSE_NOTICE_' + n] for n in sys.argv[2:]))"


def delivered(order: Order, **environ: str) -> list[Delivery]:
    found: list[Delivery] = []
    deliver(order, RealWorld({"PATH": "/usr/bin:/bin", **environ}), found.append)
    return found


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were written to."""
    urls: list[str] = []
    monkeypatch.setattr(delivery, "send", lambda url, notice: urls.append(url))
    return urls


def test_what_is_secret_of_an_address_comes_from_the_environment_as_it_is_sent(sent: list[str]) -> None:
    order = Order(NOTICE, ("json://me:${PASSWORD}@host/", "${HOOK}"), (), "/")

    found = delivered(order, PASSWORD="hidden", HOOK="slack://a/b/c", DOUSE_NOTICE_URLS=" ntfy://x  discord://y/z ")

    assert sorted(sent) == ["discord://y/z", "json://me:hidden@host/", "ntfy://x", "slack://a/b/c"]
    assert found == [
        Delivery("notices.urls[0] (json://me:${PASSWORD}@host/)", None),
        Delivery("notices.urls[1] (${HOOK})", None),
        Delivery("DOUSE_NOTICE_URLS, number 1 (ntfy)", None),
        Delivery("DOUSE_NOTICE_URLS, number 2 (discord)", None),
    ]


def test_a_variable_that_is_not_set_is_named_and_nothing_is_sent(sent: list[str]) -> None:
    found = delivered(Order(NOTICE, ("slack://${A_TOKEN}/b",), (), "/"))

    assert sent == []
    assert [one.problem for one in found] == ["the environment variable A_TOKEN is not set"]


def test_a_receiver_that_never_answers_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    world = RealWorld({})
    over = world.event()
    monkeypatch.setattr(delivery, "LIMIT_S", 0.5)
    monkeypatch.setattr(delivery, "send", lambda url, notice: over.wait(60) and None if "slow" in url else None)
    found: list[Delivery] = []

    deliver(Order(NOTICE, ("json://slow", "json://fast"), (), "/"), world, found.append)
    over.set()

    assert [one.problem for one in found] == ["no answer within 0 s", None]


def test_a_receiver_that_breaks_this_program_is_one_that_got_nothing(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def broken(url: str, notice: Notice) -> None:
        raise SystemExit(url)

    monkeypatch.setattr(delivery, "send", broken)

    [found] = delivered(Order(NOTICE, ("json://x",), (), "/"))

    assert found.problem == "it failed in a way that nobody foresaw"


def test_a_command_finds_the_notice_in_its_environment(tmp_path: Path) -> None:
    command = (sys.executable, "-c", WRITES, "notice $HOME", "EVENT", "RUN", "TITLE", "BODY")

    assert delivered(Order(NOTICE, (), command, str(tmp_path))) == [
        Delivery(f"notices.command ({sys.executable})", None)
    ]

    assert (tmp_path / "notice $HOME").read_text() == "finished|run-1|run-1 is done|the adapter is here"


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (("sh", "-c", "echo no room >&2; exit 3"), "exit status 3: no room"),
        (("sh", "-c", "exit 4"), "exit status 4"),
        (("no-such-program",), "process: cannot run no-such-program: No such file or directory"),
    ],
)
def test_a_command_that_fails_says_why(command: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    assert [one.problem for one in delivered(Order(NOTICE, (), command, str(tmp_path)))] == [problem]


def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(delivery, "COMMAND_S", 0.3)

    [found] = delivered(Order(NOTICE, (), ("sleep", "100"), str(tmp_path)))

    assert found.problem == "process: sleep did not finish within 0 s"
