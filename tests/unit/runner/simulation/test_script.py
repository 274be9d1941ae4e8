"""Scripts: drawn from the seed, each kind of act among them."""

from __future__ import annotations

import random
from dataclasses import replace

from runner.simulation.rates import HARSH
from runner.simulation.script import Act, draw, narrowed


def test_the_same_seed_draws_the_same_script() -> None:
    scripts = [draw(random.Random(seed), HARSH, ["a", "b", "c"]) for seed in range(200)]

    assert scripts == [draw(random.Random(seed), HARSH, ["a", "b", "c"]) for seed in range(200)]
    assert len(set(scripts)) > 150


def test_every_kind_of_act_is_drawn() -> None:
    drawn = [act for seed in range(400) for act in draw(random.Random(seed), HARSH, ["a", "b", "c"])]

    assert {act.kind for act in drawn} == {
        "fault", "crash", "kill", "kill guard", "lid", "cut", "interrupt", "hang up", "stop", "kill terraform",
        "damage", "type", "type with another key", "type without a key",
    }  # fmt: skip
    assert {act.words[0] for act in drawn if act.kind == "type"} == {"down", "sweep", "resume", "watch", "status"}


def test_some_users_never_come_back() -> None:
    scripts = [draw(random.Random(seed), HARSH, ["a", "b", "c"]) for seed in range(200)]

    silent = [script for script in scripts if not any(act.kind.startswith("type") for act in script)]
    assert 0 < len(silent) < 100


def test_a_fault_that_makes_a_life_dear_is_seldom_left_in() -> None:
    rates = replace(HARSH, seldom={"a": 0.2}, cloud_faults=(3,))

    drawn = [act.words[0] for seed in range(500) for act in draw(random.Random(seed), rates, ["a", "b", "c"])
             if act.kind == "fault"]  # fmt: skip

    assert drawn.count("b") == drawn.count("c") == 500
    assert 60 < drawn.count("a") < 140


def test_half_of_all_lives_have_two_acts_besides_the_last_command() -> None:
    acts = (*(Act("kill", float(number)) for number in range(6)), Act("type", words=("down",)))

    scripts = [narrowed(random.Random(seed), HARSH, acts) for seed in range(400)]

    assert {len(script) for script in scripts} == {3, 7}
    assert 150 < sum(len(script) == 3 for script in scripts) < 250
    assert all(script[-1] == acts[-1] for script in scripts)
    assert all(list(script) == sorted(script, key=acts.index) for script in scripts)
    assert {act for script in scripts if len(script) == 3 for act in script} == set(acts)
    for few in ((), acts[:1], acts[-3:]):
        assert narrowed(random.Random(1), replace(HARSH, narrow=1.0), few) == few


def test_an_act_is_a_line_of_a_history() -> None:
    assert str(Act("lid", 300.0, 60.0)) == "lid at 300 s (60)"
    assert str(Act("type", 1.0, words=("down",))) == "type down at 1 s (0)"
