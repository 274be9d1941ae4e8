"""What tasks run on: threads or greenlets, with the same histories."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pytest

from runner.cli.simulate import command
from runner.simulation import stage, strands
from runner.simulation.computer import Computer
from runner.simulation.living import live
from runner.simulation.process import Process
from runner.simulation.strands import Strand, ThreadStrand, quickest
from runner.simulation.turns import Turns
from runner.simulation.world import BEGINNING

needs_greenlets = pytest.mark.skipif(
    importlib.util.find_spec("greenlet") is None, reason="greenlet is missing: `make setup` installs it"
)


def both() -> list[type[Strand]]:
    return [ThreadStrand] if quickest() is ThreadStrand else [ThreadStrand, quickest()]


def desk(kind: type[Strand]) -> Process:
    turns = Turns(random.Random(7), kind)
    user = Process(Computer(turns, random.Random(7), began=BEGINNING), {}, name="user")
    turns.adopt("user", user)
    return user


@pytest.mark.parametrize("kind", both(), ids=lambda kind: kind.__name__)
def test_tasks_start_tasks_wait_and_end(kind: type[Strand]) -> None:
    user, seen = desk(kind), list[str]()

    def count(name: str, times: int) -> None:
        for number in range(times):
            user.sleep(1.0)
            seen.append(f"{name}{number}")
        if times > 1:
            inner = user.start(lambda: count(f"{name}-", times - 1), name=f"{name}-")
            assert inner.join(100.0)
        seen.append(f"{name} ends")

    assert all(user.start(lambda name=name: count(name, 3), name=name).join(100.0) for name in "ab")  # type: ignore[misc]

    a = ["a0", "a1", "a2", "a-0", "a-1", "a--0", "a-- ends", "a- ends", "a ends"]
    assert seen == [*a, *(one.replace("a", "b") for one in a)]
    user.computer.turns.close()
    assert not user.computer.turns.failures


@pytest.mark.parametrize("kind", both(), ids=lambda kind: kind.__name__)
def test_a_world_that_closes_ends_its_tasks_where_they_are(kind: type[Strand]) -> None:
    user, seen = desk(kind), list[str]()

    def stay() -> None:
        try:
            user.sleep(1000.0)
            seen.append("woke")
        finally:
            seen.append("finally")
            user.sleep(1.0)
            seen.append("lived on")

    user.start(stay, name="one that waits")
    user.start(stay, name="another")
    user.sleep(1.0)
    user.start(stay, name="one that never had a turn")
    user.computer.turns.close()

    assert seen == ["finally", "finally"]
    assert not user.computer.turns.failures


@needs_greenlets
@pytest.mark.parametrize(("cloud", "seed"), [("lambda", 1076), ("runpod", 12)])
def test_a_life_is_the_same_whatever_its_tasks_run_on(
    cloud: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_greenlets = live(seed, cloud, tmp_path / "life", command)
    monkeypatch.setattr(stage, "quickest", lambda: ThreadStrand)
    on_threads = live(seed, cloud, tmp_path / "life", command)

    assert on_greenlets.history == on_threads.history
    assert on_greenlets.digest == on_threads.digest


def test_without_greenlets_tasks_are_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strands.importlib.util, "find_spec", lambda _name: None)

    assert quickest() is ThreadStrand


def test_a_thread_that_nobody_lets_go_on_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strands, "STUCK_S", 0.05)

    with pytest.raises(strands.StuckError, match=r"one got no turn within 0 s of real time"):
        ThreadStrand("one").begin()
