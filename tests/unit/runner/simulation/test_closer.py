"""What a life's end shows besides what bills: leases on machines, trainers, torn adapters, keys beside a receipt."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.emulation.machines import Leftover
from runner.simulation.closer import beside
from runner.simulation.script import Act
from runner.simulation.stage import Stage
from tests.unit.runner.simulation.lived import FAIR, lived
from tests.unit.runner.simulation.test_terraform import SETTINGS


@pytest.mark.parametrize(("cloud", "has_lease"), [("lambda", False), ("runpod", True)])
def test_a_machine_that_can_end_itself_is_known(tmp_path: Path, cloud: str, has_lease: bool) -> None:
    life = lived(tmp_path, Act("kill", 400.0), cloud=cloud)

    (machine,) = life.ours
    assert (machine.id in life.leased) == has_lease
    assert life.trained_until[machine.id] > 0.0
    assert life.torn == []


def test_what_is_there_of_a_run_besides_machines_is_listed(tmp_path: Path) -> None:
    stage = Stage("lambda", 1, tmp_path, FAIR, {"lambda": SETTINGS})
    stage.state.leftovers["k1"] = Leftover("lambda", "key", "k1", "douse-20260101-000000-one-a1b2")

    assert beside(stage, "20260101-000000-one-a1b2") == ["key k1 (douse-20260101-000000-one-a1b2)"]
    assert beside(stage, "20260101-000000-two-a1b2") == []
    stage.turns.close()
