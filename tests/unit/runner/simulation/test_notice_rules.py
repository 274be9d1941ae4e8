"""The rule of what people are told: it holds in lives, and each way to break it is seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.emulation.cloud_state import REHEARSAL_KEY
from runner.simulation.life import Life, Told
from runner.simulation.more_acts import FIRST, SETTING
from runner.simulation.notice_rules import people_are_told
from runner.simulation.script import HOUR_S, Act
from runner.simulation.telling import NOTICES
from tests.unit.runner.simulation.lived import DOWN, lived, statuses

HEARD = Act(SETTING, words=(NOTICES,))


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return lived(tmp_path_factory.mktemp("told"), HEARD)


def test_a_run_is_told_of_from_its_start_to_its_end(life: Life) -> None:
    assert [told.event for told in life.told if told.event != "eval"] == [
        "started",
        "first_step",
        "terminated",
        "finished",
    ]
    assert list(people_are_told(life)) == []


def test_that_nothing_bills_while_something_does_is_seen(life: Life) -> None:
    false = [replace(told, billing=("m-1",)) if told.event == "terminated" else told for told in life.told]

    assert [why.split(" at ")[0] for why in people_are_told(replace(life, told=false))] == ["people were told"]


def test_a_key_in_a_notice_is_seen(life: Life) -> None:
    false = [*life.told, Told(1.0, 7, "failed", f"refused: {REHEARSAL_KEY}", ())]

    assert list(people_are_told(replace(life, told=false))) == ["a notice of 1 s holds a key"]


def test_a_word_that_one_process_says_twice_is_seen(life: Life) -> None:
    assert len(list(people_are_told(replace(life, told=[*life.told, *life.told])))) == 3


def test_an_end_that_nobody_hears_of_is_seen(life: Life) -> None:
    silent = [told for told in life.told if told.event != "finished"]

    assert [why.partition(" was done")[0] for why in people_are_told(replace(life, told=silent))] == ["train"]
    assert list(people_are_told(replace(life, told=silent, script=()))) == [], "without a receiver nobody is to hear"


def test_people_hear_of_a_machine_that_could_not_be_told_that_it_is_left(tmp_path: Path) -> None:
    """The terminal is closed while the network is down: nobody reads what the command says."""
    life = lived(tmp_path, HEARD, Act("cut", 380.0, HOUR_S), Act("hang up", 400.0), DOWN)

    assert statuses(life)[0] == ("train", 3)
    assert any(told.event == "failed" and "could not be told to go on" in told.words for told in life.told)
    assert list(people_are_told(life)) == []


def test_people_hear_of_a_machine_that_did_not_make_way_for_another(tmp_path: Path) -> None:
    stays = Act("fault", 0.0, 0.0, ("terminate_500", "all"))
    hasty = Act(SETTING, words=("compute.teardown_timeout_minutes=0.5",))

    life = lived(tmp_path, HEARD, hasty, stays, Act(FIRST, words=("up",)), Act("type", 5.0, words=("resume", "--yes")))

    resume = life.ended[1]
    assert (resume.words[0], resume.status) == ("resume", 3)
    assert any(told.event == "failed" and resume.began_s < told.at_s <= resume.ended_s for told in life.told)
    assert not any(told.event == "terminated" for told in life.told)
