"""Notices from a runner: sent beside, in order, waited for at the end alone and not for long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.notices import sender
from runner.adapters.notices.order import Delivery, Notice, Order
from runner.adapters.notices.sender import Sender, folder_of, has_receivers, order_of, own_variables, post
from runner.run.notices_section import NoticesSection
from runner.world import RealWorld
from tests.unit.runner.adapters.notices.receivers import WebServer, refused_port, serving

SECRET = "s3cret-Token-0123456789"


def notice(event: str) -> Notice:
    return Notice(event, "run-1", f"run-1 {event}", "words")


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    with serving(server):
        yield server


def sender_of(world: RealWorld, *urls: str, **keys: Any) -> tuple[Sender, list[str]]:
    lines: list[str] = []
    return Sender(NoticesSection(urls=list(urls), **keys), world, lines.append), lines


def test_a_notice_goes_out_by_a_process_of_its_own_and_its_secrets_stay_out_of_what_it_says(web: WebServer) -> None:
    world = RealWorld(
        {**RealWorld().environ, "PASSWORD": SECRET, "DOUSE_NOTICE_URLS": f"json://u:{SECRET}@{web.place}"}
    )
    urls = (f"json://me:${{PASSWORD}}@{web.place}/ok", f"json://127.0.0.1:{refused_port()}/${{PASSWORD}}")

    found = post(Order(notice("finished"), urls, (), "/"), world)

    assert sorted(path for path, _ in web.got) == ["/", "/ok"]
    assert [one.problem for one in found] == [None, "it refuses the connection", None]
    assert SECRET not in repr(found)


def test_a_process_that_breaks_is_a_problem_and_no_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender.sys, "executable", "/bin/false")

    assert post(Order(notice("failed"), (), (), "/"), RealWorld({})) == [
        Delivery("everybody", "the sender ended with status 1")
    ]

    monkeypatch.setattr(sender.sys, "executable", "/no/such/python")

    [found] = post(Order(notice("failed"), (), (), "/"), RealWorld({}))
    assert (found.problem or "").startswith("process: cannot run /no/such/python")


def test_who_hangs_is_waited_for_no_longer_than_the_end_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    world = RealWorld({})
    over = world.event()
    monkeypatch.setattr(sender, "AT_THE_END_S", 0.3)
    monkeypatch.setattr(sender, "post", lambda order, world, environ: over.wait(60) and [])
    one, _ = sender_of(world, "json://x")

    one.send(notice("finished"))  # returns at once

    assert one.wait(lambda: False) == 1
    assert not over.is_set()
    assert one.wait(lambda: True) == 1  # somebody in a hurry
    over.set()


def test_notices_arrive_in_order_and_one_that_hangs_is_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    world, sent = RealWorld({}), list[str]()
    over = world.event()

    def keep(order: Order, world: RealWorld, environ: Any) -> list[Delivery]:
        if order.notice.event == "started":
            over.wait(60)
        sent.append(order.notice.event)
        return []

    monkeypatch.setattr(sender, "IN_TURN_S", 0.2)
    monkeypatch.setattr(sender, "post", keep)
    one, _ = sender_of(world, "json://x")
    for event in ("started", "first_step", "terminated", "finished"):
        one.send(notice(event))
    while "finished" not in sent:
        world.sleep(0.01)
    over.set()

    assert one.wait(lambda: False) == 0
    assert sent == ["first_step", "terminated", "finished", "started"]


def test_what_nobody_asked_for_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(sender, "post", lambda order, world, environ: sent.append(order.notice.event) or [])
    one, _ = sender_of(RealWorld({}), "json://x", events=["finished"])

    for event in ("started", "eval", "finished"):
        one.send(notice(event))

    assert one.wait(lambda: False) == 0
    assert sent == ["finished"]


def test_evaluations_are_skipped_while_too_much_is_on_its_way_and_nothing_else_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, sent = RealWorld({}), list[str]()
    over = world.event()
    monkeypatch.setattr(
        sender, "post", lambda order, world, environ: (over.wait(60) and sent.append(order.notice.event)) or []
    )
    one, lines = sender_of(world, "json://x")

    for event in ("started", "eval", "eval", "eval", "eval", "finished"):
        one.send(notice(event))
    over.set()

    assert one.wait(lambda: False) == 0
    assert sorted(sent) == ["eval", "eval", "eval", "finished", "started"]
    assert lines == ["eval: skipped, for 4 notices before it are on their way"]


def test_what_became_of_each_is_a_line_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Delivery("a", None), Delivery("b", "it refuses the connection")]
    monkeypatch.setattr(sender, "post", lambda order, world, environ: found)
    one, lines = sender_of(RealWorld({}), "json://x")

    one.send(notice("failed"))

    assert one.wait(lambda: False) == 1
    assert lines == ["failed: a: sent", "failed: b: it refuses the connection"]


def test_a_command_starts_at_home_where_the_folder_of_the_run_is_gone(tmp_path: Path) -> None:
    class Gone(RealWorld):
        @property
        def folder(self) -> Path:
            raise FileNotFoundError("it was deleted")

    world = Gone({"HOME": str(tmp_path)})

    assert order_of(notice("failed"), NoticesSection(), folder_of(world)).folder == str(tmp_path)


def test_who_sends_for_a_guard_has_the_variables_of_the_addresses_and_with_a_program_those_of_the_desktop() -> None:
    environ = {"HOOK": "h", "PASSWORD": "p", "DOUSE_NOTICE_URLS": "ntfy://x", "DISPLAY": ":0", "LAMBDA_API_KEY": "k"}
    urls = ["${HOOK}", "mailtos://me:${PASSWORD}@example.org"]

    assert set(own_variables(NoticesSection(urls=urls), environ)) == {"HOOK", "PASSWORD", "DOUSE_NOTICE_URLS"}
    assert set(own_variables(NoticesSection(command=["x"]), environ)) == {"DOUSE_NOTICE_URLS", "DISPLAY"}


def test_somebody_gets_notices_by_the_run_file_or_by_the_environment() -> None:
    none, world = NoticesSection(), RealWorld({})

    assert not has_receivers(none, world)
    assert has_receivers(NoticesSection(urls=["${A}"]), world)
    assert has_receivers(NoticesSection(command=["true"]), world)
    assert has_receivers(none, RealWorld({"DOUSE_NOTICE_URLS": "ntfy://x"}))
