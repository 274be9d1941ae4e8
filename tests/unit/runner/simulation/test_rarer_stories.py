"""Stories of moments that a chance in time hardly ever meets: each comes to what it is there for."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from runner.simulation.happenings import AT_LAUNCH
from runner.simulation.rarer_stories import RARER_STORIES, has_lost_its_inputs
from runner.simulation.rules import judge
from runner.simulation.script import Act
from tests.unit.runner.simulation.lived import DOWN, lived, statuses

STATE = "/terraform/terraform.tfstate"


@pytest.mark.parametrize("story", RARER_STORIES)
def test_each_says_the_same_for_the_same_chance(story: object) -> None:
    assert callable(story)
    assert story(random.Random("a")) == story(random.Random("a"))
    assert len({story(random.Random(seed)) for seed in range(20)}) > 10


def test_ctrl_c_during_a_launch_on_aws_leaves_a_machine_that_no_state_knows_and_that_is_ended(tmp_path: Path) -> None:
    life = lived(tmp_path, Act(AT_LAUNCH, words=("interrupt",)), DOWN, cloud="aws")

    (machine,) = life.ours
    launched = next(number for number, line in enumerate(life.history) if "terraform POST /ec2/us-east-1/RunIn" in line)
    later = [line for line in life.history[launched + 1 :] if " terraform " in line]
    assert later[0].endswith("ends: exit 1")  # it has not asked for the machine's state once
    assert not any(machine.id in text.decode() for name, text in life.files.items() if name.endswith(STATE))
    assert statuses(life)[0] == ("train", 130)
    assert machine.is_ended
    assert judge(life) == []


def test_what_meets_the_launch_may_come_some_seconds_later(tmp_path: Path) -> None:
    life = lived(tmp_path, Act(AT_LAUNCH, number=20.0, words=("kill",)), DOWN)

    (machine,) = life.ours
    killed_s = next(float(line[:10]) for line in life.history if line.endswith("ends: killed"))
    launched_s = next(float(line[:10]) for line in life.history if f"box {machine.box}: boots" in line)
    assert 19.0 < killed_s - launched_s < 22.0
    assert judge(life) == []


def test_terraform_does_not_end_what_it_was_asked_for_with_inputs_that_nobody_can_read(tmp_path: Path) -> None:
    acts = has_lost_its_inputs(random.Random(3))
    (damage,) = [act for act in acts if act.kind == "damage"]

    life = lived(tmp_path, Act("kill", 400.0), damage, DOWN)

    printed = life.ended[-1].printed
    assert "terminating the machine without Terraform" in printed
    assert statuses(life)[-1] == ("down", 0)
    assert judge(life) == []
