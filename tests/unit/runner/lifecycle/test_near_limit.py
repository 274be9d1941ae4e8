"""A warning when most of a run's money or time is used: on the screen, in the log, by a notice, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.notices.order import Notice
from runner.adapters.notices.sender import Sender
from runner.adapters.stop import Stop
from runner.context import Context
from runner.errors import RunNotFoundError
from runner.lifecycle import near_limit
from runner.lifecycle.near_limit import NearLimit
from runner.run.run_dir import create_run
from runner.run.run_file import RunFile
from runner.run.spend import Spend
from runner.world import RealWorld
from tests.unit.runner.kept_lines import Lines


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Notice]:
    found: list[Notice] = []
    monkeypatch.setattr(Sender, "send", lambda self, notice: found.append(notice))
    return found


def context(tmp_path: Path, **budget: float) -> Context:
    world = RealWorld({})
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 29, tzinfo=UTC), world)
    values = {"data": {"train_path": "x"}, "budget": budget, "notices": {"urls": "${HOOK}"}}
    return Context(run, RunFile.model_validate(values), Lines(), Stop(world), world)


def used(monkeypatch: pytest.MonkeyPatch, *, usd: float = 0.0, earlier_h: float = 0.0, usd_per_h: float = 1e12) -> None:
    monkeypatch.setattr(Spend, "known_usd", property(lambda self: usd))
    monkeypatch.setattr(Spend, "earlier_h", property(lambda self: earlier_h))
    monkeypatch.setattr(Spend, "limit_usd_per_h", property(lambda self: usd_per_h))


def said(ctx: Context) -> list[str]:
    return ctx.view.said  # type: ignore[attr-defined, no-any-return]


def event(name: str, time: str) -> dict[str, Any]:
    return {"event": name, "time": f"2026-11-29T{time}+00:00"}


def test_four_fifths_of_the_money_are_said_once_whoever_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: list[Notice]
) -> None:
    ctx = context(tmp_path, max_usd=5.0)
    limit = NearLimit(ctx)
    for usd in (0.0, 3.99, 4.0, 4.5):
        used(monkeypatch, usd=usd)
        limit.look()
    NearLimit(ctx).look()

    words = "budget: $4.00 of $5.00 (budget.max_usd) are used; training stops with a checkpoint before the rest is"
    assert said(ctx) == [words]
    assert [(one.event, one.body) for one in sent] == [("budget_80", words)]
    assert f"budget_80: {words}" in (ctx.run.path / "logs" / "notices.log").read_text()


class Clock(RealWorld):
    """A computer whose time passes when it is said to."""

    passed_s = 0.0

    def monotonic_s(self) -> float:
        return self.passed_s


@pytest.mark.parametrize(("usd_per_h", "next_s"), [(3600.0, 4.0), (1.0, 600.0), (0.0, 600.0)])
def test_what_is_spent_is_counted_when_the_share_may_be_reached(
    usd_per_h: float, next_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Clock({})
    ctx = replace(context(tmp_path, max_usd=5.0), world=world)
    limit = NearLimit(ctx)
    used(monkeypatch, usd=0.0, usd_per_h=usd_per_h)
    limit.look()
    used(monkeypatch, usd=4.5, usd_per_h=usd_per_h)

    for world.passed_s in (0.0, next_s - 0.1):
        limit.look()
        assert said(ctx) == []
    world.passed_s = next_s + 0.001
    limit.look()

    assert len(said(ctx)) == 1


def test_four_fifths_of_the_hours_are_those_of_all_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: list[Notice]
) -> None:
    ctx = context(tmp_path, max_hours=10.0)
    used(monkeypatch, earlier_h=6.0)
    limit = NearLimit(ctx)

    for one in (event("run_started", "10:00:00"), event("step", "11:59:00")):
        limit.seen(one)
        limit.look()
    assert said(ctx) == []
    limit.seen(event("step", "12:00:00"))
    limit.look()

    assert said(ctx) == ["budget: 8.0 of 10 h (budget.max_hours) are used; at the end training stops and saves"]
    assert [one.event for one in sent] == ["budget_80"]


def test_who_comes_back_counts_what_the_events_at_home_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path, max_hours=1.0)
    used(monkeypatch)
    ctx.run.events.write_bytes(
        b'{"event": "run_started", "time": "2026-11-29T08:00:00+00:00"}\n'
        b'{"event": "run_started", "time": "2026-11-29T10:00:00+00:00"}\n'
        b'{"event": "step", "time": "2026-11-29T10:47:00+00:00"}\n'
    )
    limit = NearLimit(ctx)

    limit.look()
    assert said(ctx) == []  # the first try is none of it: its machine is counted as an earlier one
    limit.seen(event("step", "10:48:00"))
    limit.look()

    assert len(said(ctx)) == 1


@pytest.mark.parametrize("one", [{"event": "step"}, {"event": "run_started", "time": "yesterday"}, {}])
def test_an_event_without_a_time_says_nothing(one: dict[str, Any], tmp_path: Path) -> None:
    ctx = context(tmp_path, max_hours=0.1)
    limit = NearLimit(ctx)

    limit.seen(one)
    limit.look()

    assert said(ctx) == []


def test_a_run_without_limits_is_not_warned_and_a_damaged_folder_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, bound = context(tmp_path), context(tmp_path, max_usd=1.0)

    def damaged(run: Any) -> Spend:
        raise RunNotFoundError("run: journal.jsonl is damaged", resolution="restore it")

    monkeypatch.setattr(near_limit, "spend_of", damaged)

    for ctx in (free, bound):
        NearLimit(ctx).look()
        assert said(ctx) == []
