"""The killer: the same seed makes the same choices, and its judge believes clouds and boxes, never a meter of ours."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from benchmarks import kill_anywhere, killing
from benchmarks.kill_anywhere import choose, line, make_job, show
from benchmarks.killing import Blow, Found, Job, Life, Try

DOWN = Blow("everything", signal.SIGKILL, 0.5, "down")
MACHINE = {"id": "i-1", "is_billing": True, "ended_by": ""}
ENDED = {"id": "i-1", "is_billing": False, "ended_by": "request"}
REQUEST = {"method": "POST", "status": 200, "path": "/terminate", "query": {}, "body": {"instance_ids": ["i-1"]}}


class Book:
    """Emulated clouds that say what a test wants."""

    def __init__(self, machines: list[dict[str, Any]], requests: list[dict[str, Any]]) -> None:
        self.machines, self.requests = machines, requests

    def ask(self, path: str) -> dict[str, Any]:
        return {"/machines": {"machines": self.machines}, "/requests": {"requests": self.requests}}[path]


def judged(
    folder: Path, verb: str, status: int, *machines: dict[str, Any], said: str = "", boxes: int = 0
) -> list[str]:
    one = Try(Job("lambda", "runner", [], {}), folder)
    one._emulators = Book(list(machines), [REQUEST])  # type: ignore[assignment]
    one._boxes = lambda: boxes  # type: ignore[method-assign]
    one._said = said
    found = Found(DOWN, statuses=[(verb, status)])
    one._judge(found)
    return found.broken


def test_the_same_seed_makes_the_same_choices_and_another_makes_others() -> None:
    assert choose(7, 30) == choose(7, 30)
    assert choose(7, 30) != choose(8, 30)


def test_the_moments_are_spread_evenly_over_the_life() -> None:
    moments = sorted(blow.at for blow in choose(1, 30))

    assert all(number / 30 <= at < (number + 1) / 30 for number, at in enumerate(moments))


def test_every_kind_of_blow_and_of_user_has_its_turn() -> None:
    blows = choose(1, 30)

    assert {(blow.target, blow.signal) for blow in blows} == {*kill_anywhere.STRIKES}
    assert {blow.afterwards for blow in blows} == {*kill_anywhere.AFTERWARDS}


def test_a_blow_falls_while_its_target_lives() -> None:
    life = Life(100.0, {"terraform": [3.0, 4.0, 90.0, 91.0]})

    assert life.moment(DOWN) == 50.0
    assert life.moment(Blow("terraform", signal.SIGKILL, 0.5, "down")) == 90.0


def test_a_life_that_was_learnt_beside_other_work_shrinks() -> None:
    life = Life(100.0, {"terraform": [10.0, 90.0]}).within(50.0)

    assert (life.length_s, life.seen_s) == (50.0, {"terraform": [5.0, 45.0]})


@pytest.mark.parametrize("status", [0, 1, 2, 130])
def test_what_bills_without_status_3_breaks_the_promise(status: int, tmp_path: Path) -> None:
    assert judged(tmp_path, "down", status, MACHINE, boxes=1) == [f"i-1 bills after down with status {status}"]


@pytest.mark.parametrize("status", [3, -9])
def test_what_was_said_or_killed_before_it_could_be_is_no_lie(status: int, tmp_path: Path) -> None:
    assert judged(tmp_path, "train", status, MACHINE, boxes=1) == []


def test_a_sweep_may_leave_what_it_names(tmp_path: Path) -> None:
    assert judged(tmp_path, "sweep", 0, MACHINE, said="i-1 stays: its lease runs out at 12:00", boxes=1) == []
    assert judged(tmp_path, "sweep", 0, MACHINE, said="0 resources", boxes=1) == ["i-1 bills after sweep with status 0"]


def test_a_box_that_lives_on_unbilled_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killing, "BOX_END_S", 0.0)

    assert judged(tmp_path, "down", 0, ENDED, boxes=1) == ["a box lives after down, and nothing bills for it"]


def test_an_end_that_the_raw_requests_do_not_have_is_seen(tmp_path: Path) -> None:
    assert judged(tmp_path, "down", 0, ENDED) == []
    assert judged(tmp_path, "down", 0, ENDED | {"id": "i-2"}) == ["i-2 ended unasked"]


def test_the_table_counts_each_try_by_blow_and_by_user() -> None:
    held = Found(DOWN, "train", 12.3, statuses=[("train", -9), ("down", 0)])
    broken = Found(
        DOWN, "provision", 1.0, statuses=[("train", -9), ("down", 1)], broken=["i-1 bills after down with status 1"]
    )

    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in show([held, broken]).splitlines()]

    assert ["SIGKILL to everything", "2", "1", "0", "0", "1"] in rows
    assert ["then down", "2", "1", "0", "0", "1"] in rows
    assert Found(DOWN, is_left=True).outcome == "status 3"
    assert line(held) == "SIGKILL to everything (12.3 s, train), down: train -9, down 0: held"
    assert "BROKEN (i-1 bills after down with status 1)" in line(broken)


def test_the_run_that_is_killed_is_whole_or_has_a_stand_in(tmp_path: Path) -> None:
    whole, quick = (make_job("aws", tmp_path, is_stand_in=is_quick) for is_quick in (False, True))

    assert whole.program == "runner"
    assert {"training.max_steps=2", "budget.lease_minutes=0.5"} <= {*whole.words}
    assert (quick.program, quick.variables) == (kill_anywhere.STAND_IN, {"DOUSE_LAB_ROLES": "base_system,lease"})
    assert (tmp_path / "run.yml").exists()


def test_a_cloud_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        kill_anywhere.main(["ENV=heaven"])

    assert refused.value.code == 2
    assert "write ENV= and one of" in capsys.readouterr().err
