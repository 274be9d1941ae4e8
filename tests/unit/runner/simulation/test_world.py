"""The virtual world: no time passes, the same seed gives the same history, and what hangs is told."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from runner.simulation import strands, turns
from runner.simulation.disk import MemoryDisk
from runner.simulation.process import Process
from runner.simulation.world import BEGINNING, DeadlockError, VirtualWorld


def history(seed: int) -> list[str]:
    """Return who came when, of three tasks that each do five things."""
    seen: list[str] = []

    def worker(world: VirtualWorld, name: str) -> Callable[[], None]:
        def work() -> None:
            for number in range(5):
                world.disk.append(Path("/log"), name.encode())
                seen.append(f"{name}{number} {world.monotonic_s():.0f} {world.token(2)}")
                world.sleep(10 * world.chance.random())

        return work

    with VirtualWorld(seed) as world:
        tasks = [world.start(worker(world, name), name=name) for name in "abc"]
        assert all(task.join(1000) for task in tasks)
    return seen


def test_hours_take_no_time() -> None:
    began_s = time.monotonic()
    with VirtualWorld() as world:
        world.sleep(48 * 3600)

        assert world.now() == BEGINNING + timedelta(hours=48)
        assert world.monotonic_s() == 48 * 3600
    assert time.monotonic() - began_s < 60


def test_the_same_seed_gives_the_same_history() -> None:
    first = history(1)

    assert history(1) == first
    assert len({tuple(history(seed)) for seed in range(20)}) > 15


def test_one_task_runs_at_a_time() -> None:
    running: list[str] = []

    def worker(world: VirtualWorld, name: str) -> Callable[[], None]:
        def work() -> None:
            for _ in range(50):
                running.append(name)
                assert running == [name]
                running.clear()
                world.disk.append(Path("/log"), b".")

        return work

    with VirtualWorld(3) as world:
        tasks = [world.start(worker(world, name), name=name) for name in "abcd"]
        assert all(task.join(1.0) for task in tasks)

    assert len(world.disk.read(Path("/log"))) == 200


def test_time_goes_to_the_first_who_waits() -> None:
    order: list[float] = []

    def sleeper(world: VirtualWorld, seconds: float) -> Callable[[], None]:
        def work() -> None:
            world.sleep(seconds)
            order.append(world.monotonic_s())

        return work

    with VirtualWorld(5) as world:
        tasks = [world.start(sleeper(world, seconds), name=f"{seconds}") for seconds in (300.0, 1.0, 20.0)]
        assert all(task.join(1000) for task in tasks)

    assert order == [1.0, 20.0, 300.0]


def order_at_one_moment(seed: int) -> str:
    """Return who goes on first of two who slept as long; a bell that rings at that moment is heard by who waits."""
    order: list[str] = []
    with VirtualWorld(seed) as world:

        def sleeper(name: str) -> Callable[[], None]:
            def work() -> None:
                world.sleep(5.0)
                order.append(name)

            return work

        bell = world.bell()
        world.computer.turns.at(5.0, bell.ring)
        tasks = [world.start(sleeper(name), name=name) for name in "ab"]
        assert bell.wait(5.0)
        assert all(task.join(10.0) for task in tasks)
    return "".join(order)


def test_who_comes_first_at_one_moment_is_drawn() -> None:
    assert {order_at_one_moment(seed) for seed in range(20)} == {"ab", "ba"}


class Busy:
    """Tasks and processes that wait for all that there is to wait for."""

    def __init__(self, world: VirtualWorld, seed: int) -> None:
        self.event, self.bell, self.lock = world.event(), world.bell(), world.lock()
        self.chance, self.said, self.seen = random.Random(f"busy {seed}"), list[int](), list[str]()
        self.is_asked = seed % 4 == 0

    def do_one_thing(self, process: Process) -> None:
        def hold() -> None:
            with self.lock:
                process.sleep(self.chance.choice((0.0, 3.0)))

        self.chance.choice(
            (
                lambda: process.sleep(self.chance.choice((0.0, 0.05, 1.0, 20.0))),
                hold,
                self.bell.ring,
                lambda: self.bell.wait(self.chance.choice((0.1, 5.0))),
                lambda: process.wait_for(lambda: len(self.said) > 3, 7.0) if self.is_asked else None,
                lambda: self.said.append(1),
                lambda: process.disk.append(Path("/log"), b"."),
                lambda: self.event.set() if len(self.seen) > 30 else self.event.wait(2.0),
            )
        )()

    def pause(self, process: Process) -> None:
        for _ in range(20):
            process.sleep(0.2)
            self.seen.append(f"{process.name} {process.boottime_s():.3f}")

    def live(self, process: Process) -> int:
        for number in range(12):
            self.do_one_thing(process)
            self.seen.append(f"{process.name}{number} {process.boottime_s():.3f}")
        return 0


def busy_history(seed: int) -> list[str]:
    """Return who did what when."""
    with VirtualWorld(seed) as world:
        busy, computer = Busy(world, seed), world.computer
        made = [computer.spawn({}, name, busy.live) for name in "abcd"]
        computer.turns.at(4.0, lambda: computer.sleep(6.0))
        computer.turns.at(11.0, made[0].freeze)
        computer.turns.at(19.0, made[0].thaw)
        computer.turns.at(13.0, lambda: computer.kill(made[1].process_id))
        for what in (made[2].freeze, made[2].thaw, lambda: computer.kill(made[3].process_id)):
            busy.pause(world)
            what()
            busy.pause(world)
        world.wait_told(lambda: all(one.is_dead for one in made), 1000.0)
    return busy.seen


def test_who_goes_on_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    soon = [busy_history(seed) for seed in range(200)]
    monkeypatch.setattr(turns.Turns, "_goes_on", lambda self, turn: False)

    assert soon == [busy_history(seed) for seed in range(200)]


def test_nobody_is_looked_at_while_one_task_alone_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    look = turns.Turns._ready

    def counted(self: turns.Turns) -> tuple[list[turns.Turn], turns.Turn | None, float, float]:
        looks.append(self.passed_s)
        return look(self)

    monkeypatch.setattr(turns.Turns, "_ready", counted)
    with VirtualWorld() as world:
        world.start(lambda: world.sleep(1000.0), name="sleeper")
        world.sleep(1.0)
        before = len(looks)
        for _ in range(500):
            world.sleep(1.0)
            world.disk.write(Path("/file"), b"")

    assert len(looks) == before


def test_waiting_for_ever_is_reported() -> None:
    with VirtualWorld() as world, pytest.raises(DeadlockError, match="waiting for ever: main"):
        world.event().wait()


def test_what_a_task_dies_of_is_raised_at_the_end() -> None:
    def fail() -> None:
        raise ValueError("of this")

    world = VirtualWorld()
    world.start(fail, name="fails").join(1.0)

    with pytest.raises(ValueError, match="of this"):
        world.close()


def test_a_world_without_a_network_has_no_way_out() -> None:
    with VirtualWorld() as world, pytest.raises(ConnectionRefusedError):
        world.http_transport()


def disk() -> MemoryDisk:
    return MemoryDisk(lambda: BEGINNING, lambda: 7, lambda: None)


def test_what_merely_begins_alike_is_not_within() -> None:
    kept = disk()
    for name in ("/runs/one/a", "/runs/one/deep/b", "/runs/one-more/c", "/runs/one.txt"):
        kept.write(Path(name), name.encode())
    kept.rename(Path("/runs/one"), Path("/runs/two"))

    assert kept.names(Path("/")) == ["runs"]
    assert kept.names(Path("/runs")) == ["one-more", "one.txt", "two"]
    assert kept.read(Path("/runs/two/deep/b")) == b"/runs/one/deep/b"
    kept.remove_tree(Path("/runs/two"))
    assert kept.names(Path("/runs")) == ["one-more", "one.txt"]


def test_a_power_cut_tears_what_was_not_synced_and_frees_every_lock() -> None:
    path, lengths = Path("/runs/events"), set()
    for seed in range(50):
        torn = disk()
        torn.make_folder(path.parent)
        torn.append(path, b"synced", synced=True)
        torn.append(path, b" and not")
        torn.write(Path("/runs/state"), b"whole")
        with torn.lock(Path("/runs/lock")):
            torn.cut_power(random.Random(seed))
            assert torn.lock_holder(Path("/runs/lock")) is None
        content = torn.read(path)
        assert b"synced and not".startswith(content)
        assert content.startswith(b"synced")
        assert torn.read(Path("/runs/state")) == b"whole"
        lengths.add(len(content))

    assert len(lengths) > 5


def test_tasks_of_a_world_that_was_given_up_end_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strands, "STUCK_S", 0.05)
    world = VirtualWorld()

    tasks = [world.start(lambda: world.sleep(1.0), name=name) for name in "abc"]

    for turn in world._turns._turns[1:]:
        turn.strand.thread.join(60.0)
        assert turn.is_over
    assert len(tasks) == 3
