"""A machine that ended after it had stored what it made: nobody rents another one for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.simulation.life import Life
from runner.simulation.more_acts import FIRST, SETTING
from runner.simulation.process import KILLED
from runner.simulation.rules import judge
from runner.simulation.script import HOUR_S, Act
from tests.unit.runner.simulation.lived import lived, statuses

STORED = (Act(SETTING, words=("store.url=s3://a-bucket/runs",)), Act(FIRST, words=("train", "--detach")))
RESUME, WATCH, DOWN = (("resume", "--yes"), ("watch",), ("down",))


def said(life: Life) -> str:
    return life.ended[-1].printed


@pytest.mark.parametrize("words", [RESUME, (*RESUME, "--set", "budget.max_hours=5"), WATCH, DOWN])
@pytest.mark.parametrize("cloud", ["runpod", "aws"])
def test_what_a_machine_has_stored_before_its_end_comes_home_without_another_one(
    tmp_path: Path, words: tuple[str, ...], cloud: str
) -> None:
    life = lived(tmp_path, *STORED, Act("type", 9 * HOUR_S, words=words), cloud=cloud)

    assert statuses(life) == [("train", 0), (words[0], 0)]
    assert len(life.ours) == 1
    (weights,) = (tmp_path / "life" / "home" / "runs").glob("*/adapter/adapter_model.safetensors")
    assert weights.read_bytes() == f"trained {life.steps} steps".encode()
    assert "had brought what run" in said(life)
    assert "The adapter was accepted." in said(life)
    assert judge(life) == []


def test_one_that_was_made_longer_does_not_end_with_what_it_was_before(tmp_path: Path) -> None:
    """The machine of the longer run is lost early: what lies in the store is the adapter of the shorter one."""
    settings = ("training.max_steps=4", "checkpointing.bring_home=true")
    acts = (*STORED[:1], *(Act(SETTING, words=(words,)) for words in settings))
    longer = Act("type", 60.0, 400.0, words=(*RESUME, "--set", "training.max_steps=200"))

    life = lived(tmp_path, *acts, longer, Act("type", 9 * HOUR_S, words=RESUME), cloud="runpod")

    assert statuses(life) == [("train", 0), ("resume", KILLED), ("resume", 0)]
    assert len(life.ours) == 3
    (weights,) = (tmp_path / "life" / "home" / "runs").glob("*/adapter/adapter_model.safetensors")
    assert weights.read_bytes() == b"trained 200 steps"


def test_a_run_that_may_recover_rents_no_other_machine_for_what_the_lost_one_had_stored(tmp_path: Path) -> None:
    """The laptop sleeps for longer than a lease while the trainer ends; the machine stores its work and is gone."""
    acts = (*STORED[:1], Act(SETTING, words=("compute.recoveries=2",)), Act("lid", 400.0, 9 * HOUR_S))
    patient = Act(SETTING, words=("budget.lease_minutes=60",))

    life = lived(tmp_path, *acts, patient, cloud="runpod")

    assert statuses(life)[0] == ("train", 0)
    assert len(life.ours) == 1
    assert "had brought what run" in life.ended[0].printed
    assert judge(life) == []


def test_one_that_is_to_make_something_else_is_not_done_with_what_it_made(tmp_path: Path) -> None:
    other = (*RESUME, "--set", "training.learning_rate=0.001")

    life = lived(tmp_path, *STORED, Act("type", 9 * HOUR_S, words=other), cloud="runpod")

    assert "had brought what run" not in said(life)
    assert len(life.ours) > 1
