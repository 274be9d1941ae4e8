"""Machines that came to nothing: which are remembered, for how long, and what goes before them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.cloud_api.models import Offer, Trust
from runner.planning.candidates import Wanted, choose_offers
from runner.planning.useless import REMEMBERED, UselessMachine, useless_machines
from runner.run.planned import MachineIdentity
from runner.run.run_dir import RunDir
from runner.world import RealWorld

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
REAL, EMULATED = "https://cloud.lambda.ai/api/v1", "http://127.0.0.1:40001/api/v1"


def run_with(folder: Path, *lines: dict[str, Any], number: int = 0, endpoint: str = REAL) -> RunDir:
    run = RunDir(folder / f"20261130-10000{number}-tiny-aaaa", RealWorld({}))
    run.path.mkdir()
    asked = {"time": NOW.isoformat(), "kind": "intent", "action": "provision", "endpoint": endpoint}
    (run.path / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (asked, *lines)))
    return run


def useless(**changes: Any) -> dict[str, Any]:
    line = {"time": NOW.isoformat(), "kind": "answer", "action": "useless", "cloud": "lambda", "instance_id": "i-1"}
    return line | {"instance_type": "a10", "region": "west", "spot": False, "why": "not up after 300 s"} | changes


def test_a_machine_is_remembered_with_its_kind_its_region_and_the_reason(tmp_path: Path) -> None:
    run = run_with(tmp_path, useless())

    (found,) = useless_machines([run], "lambda", NOW)

    identity = MachineIdentity("a10", "west", False, trust=None)
    assert found == UselessMachine(run.run_id, "lambda", NOW, identity, "not up after 300 s")


def test_one_of_another_cloud_or_of_an_emulated_one_says_nothing_of_this(tmp_path: Path) -> None:
    runs = [run_with(tmp_path, useless()), run_with(tmp_path, useless(), number=1, endpoint=EMULATED)]

    assert useless_machines(runs, "runpod", NOW) == []
    assert [one.run_id for one in useless_machines(runs, "lambda", NOW)] == [runs[0].run_id]
    assert [one.run_id for one in useless_machines(runs, "lambda", NOW, emulated=True)] == [runs[1].run_id]


@pytest.mark.parametrize(("ago", "count"), [(REMEMBERED, 1), (REMEMBERED + timedelta(seconds=1), 0)])
def test_it_is_forgotten_after_a_day(ago: timedelta, count: int, tmp_path: Path) -> None:
    assert len(useless_machines([run_with(tmp_path, useless())], "lambda", NOW + ago)) == count


def test_a_damaged_folder_names_none_and_hides_no_other(tmp_path: Path) -> None:
    damaged = run_with(tmp_path, useless(time="2026-11-30T12:00:00+00:00", region=7))
    (damaged.path / "journal.jsonl").unlink()
    (damaged.path / "journal.jsonl").mkdir()
    good = run_with(tmp_path, useless(instance_type=None), useless(region="east"), number=1)

    assert [one.identity.region for one in useless_machines([damaged, good], "lambda", NOW)] == ["west", "east"]


def offer(kind: str = "a10", region: str = "west", trust: Trust = "secure", **changes: Any) -> Offer:
    return Offer(kind, region, changes.get("spot", False), 1.0, "A10", 1, 24.0, available=True, trust=trust)


@pytest.mark.parametrize(
    ("other", "is_like"),
    [
        (offer(), True),
        (offer(region="any"), True),
        (offer(trust="community"), True),  # nobody has said whose it was
        (offer(region="east"), False),
        (offer("h100"), False),
        (offer(spot=True), False),
    ],
    ids=["the same", "it may come again", "whosever it is", "elsewhere", "another kind", "spot"],
)
def test_what_is_like_it(other: Offer, is_like: bool, tmp_path: Path) -> None:
    (found,) = useless_machines([run_with(tmp_path, useless())], "lambda", NOW)

    assert found.is_like(other) is is_like


def test_it_goes_behind_all_others_of_any_kind_that_the_run_file_names_and_stays_among_them() -> None:
    offers = [offer("a10"), offer("a10", "east"), offer("h100")]

    def order(*types: str) -> list[str]:
        chosen = choose_offers(offers, Wanted(types), was_useless=lambda one: one == offers[0])
        return [f"{one.instance_type}/{one.region}" for one in chosen]

    assert order("a10", "h100") == ["a10/east", "h100/west", "a10/west"]
    assert order("h100", "a10") == ["h100/west", "a10/east", "a10/west"]
