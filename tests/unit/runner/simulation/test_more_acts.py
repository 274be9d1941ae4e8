"""Acts that few lives have: each is drawn, each does what it says, and none changes what else a seed draws."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from runner.simulation.happenings import HAPPENINGS
from runner.simulation.more_acts import (
    FIRST,
    GUARD_OFF,
    ON_THE_SIDE,
    RUN_ID,
    SETTING,
    SETTINGS,
    TERRAFORM_STATE,
    draw_more,
    in_order,
)  # fmt: skip
from runner.simulation.process import KILLED
from runner.simulation.rates import MORE
from runner.simulation.rules import judge, worst_cases
from runner.simulation.script import Act
from tests.unit.runner.simulation.lived import DOWN, lived, statuses

DRAWN = [draw_more(random.Random(seed), MORE) for seed in range(800)]


def test_every_kind_of_act_is_drawn() -> None:
    acts = [act for script in DRAWN for act in script]

    assert [draw_more(random.Random(seed), MORE) for seed in range(800)] == DRAWN
    assert {act.kind for act in acts} == {SETTING, FIRST, "kill guard", "sweep beside", "full disk", "damage", "type"}
    assert {"kill guard", "sweep beside", "full disk"} <= set(HAPPENINGS)
    assert {act.words[0] for act in acts if act.kind == SETTING} == set(SETTINGS)
    assert {act.words for act in acts if act.kind == "type"} >= set(ON_THE_SIDE)
    assert {act.words[0] for act in acts if act.kind == FIRST} == {"up", "train"}


def test_most_lives_have_none() -> None:
    assert 0.3 < sum(script == () for script in DRAWN) / len(DRAWN) < 0.7


def test_what_is_typed_last_stays_the_last() -> None:
    kill, collect = Act("kill", 3.0), Act("type", words=("collect",))

    assert in_order((kill, DOWN), (collect,)) == (kill, collect, DOWN)
    assert in_order((kill,), (collect,)) == (kill, collect)
    assert in_order((), (collect,)) == (collect,)


def test_a_setting_goes_to_the_run_file(tmp_path: Path) -> None:
    life = lived(tmp_path, Act(SETTING, words=(GUARD_OFF,)), Act("kill", 320.0))

    assert [span.name for span in life.spans if span.name == "guard"] == []
    assert (judge(life), worst_cases(life)) == ([], 1)


def test_a_run_may_begin_by_hand(tmp_path: Path) -> None:
    by_hand = (Act("type", 5.0, words=("configure",)), Act("type", 5.0, words=("launch",)))

    life = lived(tmp_path, Act(FIRST, words=("up",)), *by_hand, DOWN)

    assert statuses(life) == [("up", 0), ("configure", 0), ("launch", 0), ("down", 0)]
    assert judge(life) == []


def test_a_machine_is_terminated_by_the_id_of_its_run(tmp_path: Path) -> None:
    terminate = Act("type", 60.0, words=("terminate", "--run", RUN_ID))

    life = lived(tmp_path, Act("kill", 320.0), Act("kill guard", 320.0), terminate)

    assert statuses(life) == [("train", KILLED), ("terminate", 0)]
    assert [machine.is_ended for machine in life.ours] == [True]
    assert judge(life) == []


def test_a_sweep_beside_a_runner_leaves_it_alone(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("sweep beside", 300.0))

    assert statuses(life) == [("sweep", 0), ("train", 0)]
    assert judge(life) == []


@pytest.mark.parametrize("how", ["empty", "cut", "lost"])
def test_a_damaged_state_of_terraforms_keeps_no_machine(tmp_path: Path, how: str) -> None:
    damaged = Act("damage", words=(TERRAFORM_STATE, how), number=0.5)

    life = lived(tmp_path, Act("kill", 320.0), damaged, DOWN)

    assert f"happens: {damaged}" in "".join(life.history)
    assert (statuses(life), judge(life)) == ([("train", KILLED), ("down", 0)], [])
    assert [machine.is_ended for machine in life.ours] == [True]


def test_a_guard_that_was_killed_alone_is_followed_by_another(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("kill guard", 250.0), Act("kill", 320.0))

    assert len([span for span in life.spans if span.name == "guard"]) == 2
    assert [machine.is_ended for machine in life.ours] == [True]
    assert judge(life) == []
