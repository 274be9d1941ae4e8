"""A life's history in words: each kind of line, each act, each fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.simulation.flaws import FLAW, FLAWS
from runner.simulation.happenings import HAPPENINGS
from runner.simulation.life import Life
from runner.simulation.moments import ACT_WORDS, Moment, moments, planted
from runner.simulation.script import Act
from tests.unit.runner.simulation.lived import DOWN, FAIR, lived

KILL = Act("kill", 320.0)


def said(line: str, *acts: Act) -> Moment:
    (moment,) = moments(Life(1, "lambda", acts, [f"{12.5:10.2f} {line}"]))
    return moment


@pytest.mark.parametrize(
    ("line", "lane", "words", "is_bad", "is_routine"),
    [
        ("user types down with its key", "you", "make down", False, False),
        (
            "user types down with its key elsewhere",
            "you",
            "make down in a shell with a cache folder of its own",
            False,
            False,
        ),
        ("user types down with no key", "you", "make down without a key", False, False),
        ("train GET /v1/a 200", "cloud", "runner asks GET /v1/a, and the cloud answers 200", False, True),
        ("guard POST /v1/a 200", "cloud", "guard asks POST /v1/a, and the cloud answers 200", False, False),
        ("guard GET /v1/a 404", "cloud", "guard asks GET /v1/a, and the cloud answers 404", True, False),
        (
            "terraform GET /v1/a 200 (answer lost)",
            "cloud",
            "Terraform asks GET /v1/a, and the cloud does it, and the answer is lost",
            True,
            False,
        ),
        ("train 1000 ends: killed", "runner", "make train is killed", True, False),
        ("guard 1003 ends: exit 0", "guard", "ends with exit status 0", False, False),
        ("store has runs/a by box l1", "store", "box l1 writes runs/a", False, True),
        ("store loses runs/a by box l1", "store", "box l1 removes runs/a", False, True),
        ("store has runs/a, damaged", "store", "damages runs/a", True, False),
        ("store loses runs/a, damaged", "store", "loses runs/a", True, False),
        ("something new", "cloud", "something new", False, False),
    ],
)
def test_a_line_is_said_in_words(line: str, lane: str, words: str, is_bad: bool, is_routine: bool) -> None:
    assert said(line) == Moment(12.5, lane, words, is_bad, is_routine)


def test_what_a_store_does_is_its_own_act() -> None:
    act = Act("store down", 12.5, 600.0)

    assert said(f"happens: {act}", act) == Moment(
        12.5, "store", "the store cannot be reached for 10 min 00 s", is_bad=True
    )


def test_an_act_is_the_users_and_says_how_long() -> None:
    act = Act("lid", 12.5, 600.0)

    moment = said(f"happens: {act}", act)

    assert moment == Moment(12.5, "you", "the laptop is closed for 10 min 00 s", is_bad=True)


def test_each_act_has_words() -> None:
    assert set(ACT_WORDS) == {*HAPPENINGS, "damage"}


def test_what_waits_for_its_moment_is_said_apart() -> None:
    assert planted(Act("fault", words=("no_capacity",))) != ""
    assert planted(Act("crash", number=7.0)) == "The command is killed at its call 7 of clock, disk, chance or network."
    assert [flaw for flaw in FLAWS if planted(Act(FLAW, words=(flaw,))) == ""] == []
    assert planted(KILL) == ""


def test_each_line_of_a_life_is_known(tmp_path: Path) -> None:
    life = lived(tmp_path, KILL, DOWN, rates=replace(FAIR, requests=(("503", 0.05),)))

    said = moments(life)

    assert len(said) == len(life.history)
    assert not [one for one in said if one.lane == "cloud" and "the cloud" not in one.words]
    assert {"you", "runner", "guard", "Terraform", "somebody else", "cloud"} < {one.lane for one in said}
    assert {one.lane[:5] for one in said} >= {"machi", "their"}
