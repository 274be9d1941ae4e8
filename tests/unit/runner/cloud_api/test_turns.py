"""When an account may be asked next, and processes of one computer that live, are killed and are stopped."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import pytest

from runner.cloud_api.pacing import Timer, in_flight, shared_pace, with_shared_turns
from runner.cloud_api.turns import FLIGHT_S, PATIENCE_S, Schedule
from runner.simulation.process import KILLED, Process
from runner.simulation.turns import HAIR_S
from runner.simulation.world import VirtualWorld

INTERVAL_S = 1.0


def test_a_flight_holds_for_the_interval_and_is_over_with_its_bound() -> None:
    flying = Schedule().taken(100.0, 12.0)

    waits_s = [flying.wait_s(now_s, 12.0) for now_s in (100.0, 105.0, 112.0, 121.0, 122.0)]

    assert FLIGHT_S == 10.0
    assert waits_s == [12.0, 12.0, 10.0, 1.0, 0.0]


def test_who_lands_ends_its_own_flight_alone() -> None:
    mine = Schedule().taken(100.0, INTERVAL_S)
    anothers = mine.taken(111.0, INTERVAL_S)

    assert mine.landed(100.0, INTERVAL_S) == Schedule()
    assert anothers.landed(100.0, INTERVAL_S) == anothers
    assert anothers.landed(111.0, INTERVAL_S) == Schedule()


def test_nobody_takes_a_turn_that_is_taken_or_held() -> None:
    flying, held = Schedule().taken(100.0, INTERVAL_S), Schedule().held(130.0)

    assert (flying.taken(110.9, INTERVAL_S), held.taken(129.9, INTERVAL_S)) == (flying, held)
    assert flying.landed(100.0, INTERVAL_S).held(130.0).held(120.0).next_s == 130.0


@pytest.mark.parametrize("seed", range(20))
def test_no_two_requests_are_nearer_than_the_interval_whoever_is_killed_or_stopped(seed: int) -> None:
    there_s, landed = list[float](), list[str]()
    with VirtualWorld(seed) as world:
        environ = with_shared_turns({}, Path("/turns"))
        processes = [Process(world.computer, environ, name=f"process-{number}") for number in range(6)]
        tasks = [
            (process, process.start(partial(_ask, process, world, there_s, landed), name=f"{process.name} {number}"))
            for process in processes
            for number in range(2)
        ]
        for process in processes[:2]:
            world.sleep(world.chance.uniform(1.0, 20.0))
            process.end(KILLED)
        processes[2].freeze()
        world.sleep(world.chance.uniform(1.0, 8.0))
        processes[2].thaw()
        assert all(task.join(PATIENCE_S) for process, task in tasks if not process.is_dead)

    assert {name: landed.count(name) for name in landed if name > "process-1"} == {
        f"process-{number}": 10 for number in range(2, 6)
    }
    assert min(next_s - one_s for one_s, next_s in itertools.pairwise(there_s)) >= INTERVAL_S - HAIR_S


def _ask(process: Process, world: VirtualWorld, there_s: list[float], landed: list[str]) -> None:
    """Ask five times; the cloud sees each request at some moment of its flight."""
    pace = shared_pace(process, "lambda", "a-key", "all", INTERVAL_S)
    for _ in range(5):
        with in_flight((pace,), Timer(process)):
            process.sleep(world.chance.uniform(0.0, 1.0))
            there_s.append(process.monotonic_s())
            process.sleep(world.chance.uniform(0.0, 1.0))
        landed.append(process.name)
