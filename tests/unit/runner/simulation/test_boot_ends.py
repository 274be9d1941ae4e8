"""The ends that a machine brings along: a machine that nobody keeps, or that is never set up, powers itself off."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.simulation.rules import judge, worst_cases
from runner.simulation.script import Act
from runner.simulation.trainer import EPOCH
from tests.unit.runner.simulation.lived import lived

ALONE = (Act("kill", 70.0), Act("kill guard", 70.0))
"""Runner and guard are gone as soon as the machine is there."""
BOOT_LEASE_S = 2 * 3600.0
"""What a machine has to be set up in, and more."""


def test_a_machine_that_is_never_set_up_powers_itself_off(tmp_path: Path) -> None:
    life = lived(tmp_path, *ALONE, cloud="aws")

    (machine,) = life.ours
    assert (judge(life), worst_cases(life)) == ([], 0)
    assert machine.ended_by == "its own lease (never set up)"
    assert (machine.ended_at or 0.0) - EPOCH < BOOT_LEASE_S


@pytest.mark.parametrize("fault", ["boot_never_active", "box_killed"])
def test_one_that_cannot_power_off_was_named_by_the_plan(tmp_path: Path, fault: str) -> None:
    life = lived(tmp_path, Act("fault", 0.0, 60.0, words=(fault,)), *ALONE, cloud="aws")

    assert [machine.is_ended for machine in life.ours] == [False]
    assert (judge(life), worst_cases(life)) == ([], 1)


def test_a_machine_that_is_set_up_has_its_lease_alone(tmp_path: Path) -> None:
    life = lived(tmp_path, Act("kill", 320.0), Act("kill guard", 320.0), cloud="aws")

    assert [machine.ended_by for machine in life.ours] == ["its own lease (not_renewed)"]


def test_the_neighbours_machine_is_as_it_was(tmp_path: Path) -> None:
    life = lived(tmp_path, *ALONE, cloud="aws")

    assert len(life.foreign) == 1
    assert [machine.is_ended for machine in life.machines if machine.id in life.foreign] == [False]
