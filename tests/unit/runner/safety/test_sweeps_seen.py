"""When a sweep was seen last, as a file says it that anybody may have damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.safety.sweeps_seen import SWEPT_NAME, last_sweep, note_sweep
from runner.simulation.world import VirtualWorld

RUNS = Path("/runs")
THEN = '"2025-12-31T00:00:00+00:00"'


@pytest.mark.parametrize("content", [b"[]", b'{"\\ud800": 1}', b'{"a": "\\ud800"}', f'{{"\\ud800": {THEN}}}'.encode()])
def test_what_cannot_be_read_is_left_out_and_the_next_sweep_is_noted(content: bytes) -> None:
    world = VirtualWorld()
    world.disk.write(RUNS / SWEPT_NAME, content)

    note_sweep(RUNS, ["lambda"], world)

    assert last_sweep(RUNS, "lambda", world) == world.now()
    assert last_sweep(RUNS, "a", world) is None


def test_each_cloud_that_was_swept_is_noted() -> None:
    world = VirtualWorld()

    note_sweep(RUNS, ["lambda", "runpod"], world)

    assert {last_sweep(RUNS, cloud, world) for cloud in ("lambda", "runpod")} == {world.now()}
    assert last_sweep(RUNS, "aws", world) is None


def test_what_is_known_of_another_cloud_stays() -> None:
    world = VirtualWorld()
    world.disk.write(RUNS / SWEPT_NAME, f'{{"runpod": {THEN}, "aws": "2025-12-31T00:00:00"}}'.encode())

    note_sweep(RUNS, ["lambda"], world)

    assert last_sweep(RUNS, "runpod", world) is not None
    assert last_sweep(RUNS, "aws", world) is None
