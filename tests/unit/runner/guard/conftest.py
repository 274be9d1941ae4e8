"""The computer that a guard of the tests runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.simulation.world import VirtualWorld
from tests.unit.runner.fake_cloud import RUN_ID

FOLDER = Path("/runs") / RUN_ID


@pytest.fixture
def world() -> Iterator[VirtualWorld]:
    with VirtualWorld() as found:
        found.disk.make_folder(FOLDER / "logs")
        yield found
