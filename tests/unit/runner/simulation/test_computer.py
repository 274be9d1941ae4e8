"""Computers and processes of a virtual world: what a kill leaves, what sleep does, who hears a signal."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner.simulation.computer import Computer
from runner.simulation.process import KILLED, Process
from runner.simulation.turns import OverError
from runner.simulation.world import BEGINNING, VirtualWorld
from runner.world import LockedError

NOTES = Path("/runs/notes")


@contextmanager
def two_computers() -> Iterator[tuple[VirtualWorld, Computer]]:
    """Yield the world of the test itself, on a computer of its own, and another computer."""
    with VirtualWorld(1) as outside:
        yield outside, Computer(outside.computer.turns, random.Random(2), began=BEGINNING)


def spawn(computer: Computer, work: Callable[[Process], int], **given: object) -> Process:
    return computer.spawn({}, "one", work, **given)


def test_a_killed_process_changes_nothing_any_more() -> None:
    tried: list[str] = []

    def stubborn(world: Process) -> int:
        try:
            world.disk.write(NOTES, b"before")
            world.sleep(100)
        except BaseException:  # noqa: BLE001 - it is what no process can do after a kill
            tried.append("except")
            try:
                world.disk.write(NOTES, b"after")
            finally:
                tried.append("finally")
                world.disk.append(NOTES, b"after")
        return 0

    with two_computers() as (outside, computer):
        process = spawn(computer, stubborn)
        outside.sleep(10)
        computer.kill(process.process_id)
        outside.sleep(10)

        assert tried == ["except", "finally"]
        assert computer.disk._files[str(NOTES)] == b"before"
        assert process.exit_status == KILLED
        assert computer.processes == {}


@pytest.mark.parametrize(
    "call",
    [
        lambda world: world.sleep(1),
        lambda world: world.token(),
        lambda world: world.disk.read(NOTES),
        lambda world: world.disk.names(NOTES),
        lambda world: world.start(lambda: None, name="more"),
        lambda world: world.signal(1, signal.SIGTERM),
        lambda world: world.connect("127.0.0.1", 1, 1.0),
        lambda world: world.event().wait(1),
        lambda world: world.lock().acquire(),
        lambda world: world.bell().wait(1),
    ],
)
def test_a_call_of_a_dead_world_raises(call: Callable[[Process], object]) -> None:
    with two_computers() as (_, computer):
        process = Process(computer, {}, name="dead")
        process.end(KILLED)

        with pytest.raises(OverError):
            call(process)


def test_a_process_dies_of_its_nth_call() -> None:
    def writes(world: Process) -> int:
        for number in range(9):
            world.disk.write(NOTES, str(number).encode())
        return 0

    kept = set()
    for crash_at in range(1, 9):
        with two_computers() as (outside, computer):
            process = spawn(computer, writes, crash_at=crash_at)
            outside.sleep(10)
            assert (process.exit_status, process.calls) == (KILLED, crash_at)
            kept.add(computer.disk._files.get(str(NOTES)))
    assert kept == {None, *(str(number).encode() for number in range(7))}


def test_all_tasks_of_a_process_end_with_it() -> None:
    beats: list[float] = []

    def beat(world: Process) -> None:
        while True:
            world.sleep(1)
            beats.append(world.boottime_s())

    def main(world: Process) -> int:
        world.start(lambda: beat(world), name="beat")
        world.sleep(4.5)
        return 3

    with two_computers() as (outside, computer):
        process = spawn(computer, main)
        outside.sleep(100)

        assert process.exit_status == 3
        assert beats == [1.0, 2.0, 3.0, 4.0]


def test_the_lock_of_a_killed_process_is_free_and_stays_the_next_ones() -> None:
    def holds(world: Process) -> int:
        with world.disk.lock(NOTES):
            world.sleep(1000)
        return 0

    with two_computers() as (outside, computer):
        first = spawn(computer, holds)
        outside.sleep(1)
        refused = spawn(computer, _is_refused)
        outside.sleep(1)
        computer.kill(first.process_id)
        second = spawn(computer, holds)
        outside.sleep(1)

        assert refused.exit_status == 1
        assert second.exit_status is None
        assert computer.disk._locks == {str(NOTES): second.process_id}


def _is_refused(world: Process) -> int:
    try:
        with world.disk.lock(NOTES):
            return 0
    except LockedError:
        return 1


def test_a_signal_is_the_end_unless_somebody_listens() -> None:
    heard: list[str] = []

    def listens(world: Process) -> int:
        world.on_signals({signal.SIGINT: lambda: heard.append("INT")})
        world.sleep(100)
        return 0

    with two_computers() as (outside, computer):
        process = spawn(computer, listens)
        outside.sleep(1)
        process.hear(signal.SIGINT)
        outside.sleep(1)
        assert (heard, process.exit_status) == (["INT"], None)

        other = spawn(computer, lambda world: _signal(world, process.process_id, signal.SIGTERM))
        outside.sleep(1)

        assert process.exit_status == -signal.SIGTERM
        assert other.exit_status == 0


def _signal(world: Process, process_id: int, number: signal.Signals) -> int:
    world.signal(process_id, number)
    world.signal(4711, number)  # one that is gone is fine
    return 0


def test_a_computer_that_sleeps_does_nothing_and_its_time_of_day_goes_on() -> None:
    seen: list[tuple[float, float, float]] = []

    def looks(world: Process) -> int:
        for _ in range(3):
            world.sleep(10)
            seen.append((world.monotonic_s(), world.boottime_s(), (world.now() - BEGINNING).total_seconds()))
        return 0

    with two_computers() as (outside, computer):
        spawn(computer, looks)
        outside.sleep(15)
        computer.sleep(100)
        outside.sleep(300)

    assert seen == [(10.0, 10.0, 10.0), (20.0, 120.0, 120.0), (30.0, 130.0, 130.0)]


def test_a_world_leaves_no_thread() -> None:
    before = threading.active_count()
    with two_computers() as (outside, computer):
        for _ in range(5):
            spawn(computer, lambda world: world.sleep(1e6) or 0)  # type: ignore[func-returns-value]
        outside.sleep(1)
        assert threading.active_count() == before + 5

    assert threading.active_count() == before


def test_a_process_that_is_stopped_does_nothing_while_its_clocks_go_on() -> None:
    seen: list[float] = []

    def looks(world: Process) -> int:
        for _ in range(3):
            world.sleep(10)
            seen.append(world.monotonic_s())
        return 0

    with two_computers() as (outside, computer):
        process = spawn(computer, looks)
        outside.sleep(15)
        process.freeze()
        outside.sleep(100)
        process.thaw()
        outside.sleep(100)

    assert seen == [10.0, 115.0, 125.0]
