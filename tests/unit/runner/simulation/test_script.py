"""Scripts: drawn from the seed, each kind of act among them."""

from __future__ import annotations

import random

from runner.simulation.rates import HARSH
from runner.simulation.script import Act, draw


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


def test_an_act_is_a_line_of_a_history() -> None:
    assert str(Act("lid", 300.0, 60.0)) == "lid at 300 s (60)"
    assert str(Act("type", 1.0, words=("down",))) == "type down at 1 s (0)"
