"""How a run stands when somebody comes back to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.simulation.process import KILLED
from runner.simulation.rules import judge
from runner.simulation.script import Act
from tests.unit.runner.simulation.lived import DOWN, lived, statuses


@pytest.mark.parametrize("verb", ["launch", "configure"])
def test_nothing_begins_on_a_machine_that_was_being_terminated_when_its_runner_ended(tmp_path: Path, verb: str) -> None:
    """Terraform goes on without its runner: it had asked for the end already (Lambda, seed 7403)."""
    life = lived(tmp_path, Act("interrupt", 400.0), Act("kill", 415.0), Act("type", 1.0, words=(verb,)), DOWN)

    assert statuses(life) == [("train", KILLED), (verb, 3), ("down", 0)]
    assert "was being terminated when its runner ended" in life.ended[1].printed
    assert judge(life) == []
