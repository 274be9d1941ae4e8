"""Threads that wait for one another sleep before they starve one another."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer import threads
from trainer.threads import CROWDED, SPIN_COUNT, seconds_without_a_core, watch, yield_to_neighbours

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
FIRST_TORCH = """
import sys, threading
class Door:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            sys.exit("torch, beside " + ", ".join(sorted(thread.name for thread in threading.enumerate())))
sys.meta_path.insert(0, Door())
from trainer.__main__ import main
main(sys.argv[1:])
"""
COMES_AND_GOES = """
import os, torch
from trainer.threads import Crowd

def count():
    return len(os.listdir("/proc/self/task"))

numbers = torch.arange(1 << 22, dtype=torch.float32)
total, alone = (numbers / 3).sum(), count()
crowd = Crowd()
while count() < alone + 1 + os.cpu_count():  # its own thread, and one more than cores less the thread that asks
    pass
crowded_total = (numbers / 3).sum()
crowd.leave()
while count() > alone:
    pass
assert torch.equal(total, crowded_total), (total, crowded_total)
"""


class NoMoreLooksError(Exception):
    """The planted looks are used up."""


def environment(**said: str) -> dict[str, str]:
    """Return this process's environment, in which the user says only this about waiting."""
    return {name: value for name, value in os.environ.items() if name not in WAITING} | said


def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have threads not start, and return the list that will hold their names."""
    names: list[str] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: names.append(thread.name))
    return names


@pytest.mark.parametrize("said", [{"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "ACTIVE"}])
def test_the_user_has_the_last_word_on_waiting(said: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", environment(**said))
    names = started(monkeypatch)

    yield_to_neighbours()

    assert names == []
    assert {name: os.environ[name] for name in WAITING if name in os.environ} == said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how long threads wait for a core")
def test_otherwise_it_looks_while_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", environment(OMP_NUM_THREADS="3"))
    names = started(monkeypatch)

    yield_to_neighbours()

    assert names == ["neighbours"]
    assert "GOMP_SPINCOUNT" not in os.environ


def test_where_the_kernel_does_not_say_the_spin_is_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "environ", environment())
    monkeypatch.setattr(threads, "_TASKS", tmp_path)
    names = started(monkeypatch)

    yield_to_neighbours()

    assert names == []
    assert os.environ["GOMP_SPINCOUNT"] == SPIN_COUNT


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how long threads wait for a core")
@pytest.mark.parametrize("command", [["train", "--output"], ["accept", "--adapter"]])
def test_it_begins_before_torch_is_loaded(command: list[str], tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(tiny_recipe(tmp_path, tmp_path).model_dump_json(), encoding="utf-8")
    verb, folder = command
    argv = [sys.executable, "-c", FIRST_TORCH, verb, "--config", str(recipe), folder, str(tmp_path / "folder")]

    done = subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=60, check=False)

    assert done.stderr.splitlines()[-1:] == ["torch, beside MainThread, neighbours"]


def test_a_crowd_is_there_only_while_others_need_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    here: list[str] = []
    waits = [0.0, CROWDED / 2, 2 * CROWDED, 5 * CROWDED, CROWDED / 2, 0.0, 9.0]  # seconds of waiting in each second
    clock = iter(range(len(waits) + 1))
    totals = iter([sum(waits[: number + 1]) for number in range(len(waits))])

    class Crowd:
        def __init__(self) -> None:
            here.append("comes")

        def leave(self) -> None:
            here.append("leaves")

    def look(_: float) -> None:
        if len(seen) == len(waits) - 1:
            raise NoMoreLooksError
        seen.append(list(here))

    seen: list[list[str]] = []
    monkeypatch.setattr(threads, "Crowd", Crowd)
    monkeypatch.setattr(threads, "seconds_without_a_core", lambda: next(totals))

    with pytest.raises(NoMoreLooksError):
        watch(look, lambda: float(next(clock)))

    assert seen == [[], [], ["comes"], ["comes"], ["comes", "leaves"], ["comes", "leaves"]]
    assert here == ["comes", "leaves", "comes"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere PyTorch comes with another OpenMP")
def test_its_threads_come_and_go_and_change_no_bit() -> None:
    shown = environment(OMP_NUM_THREADS="2")

    subprocess.run([sys.executable, "-c", COMES_AND_GOES], env=shown, timeout=120, check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how long threads wait for a core")
def test_waiting_for_a_core_is_added_over_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, waited_ns in (("1", 250_000_000), ("2", 500_000_000)):
        (tmp_path / number).mkdir()
        (tmp_path / number / "schedstat").write_text(f"7 {waited_ns} 3\n", encoding="ascii")
    (tmp_path / "3").mkdir()  # it ended between the listing and the look
    monkeypatch.setattr(threads, "_TASKS", tmp_path)

    assert seconds_without_a_core() == 0.75
