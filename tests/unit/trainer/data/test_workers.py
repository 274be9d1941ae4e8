from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from trainer.data.workers import in_order, processes_here
from trainer.errors import WorkerError


@dataclass(frozen=True)
class Work:
    """Doubles a number; some numbers are bad for the process that meets them."""

    raises_at: int = -1
    dies_at: int = -1

    def __call__(self, item: tuple[int, bytes]) -> tuple[int, int, bytes]:
        number, content = item
        if number == self.raises_at:
            raise ValueError(f"no {number}")
        if number == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * number, os.getpid(), content * 2


def items(count: int, size: int = 1) -> Iterator[tuple[int, bytes]]:
    return ((number, b"x" * size * (1 + number % 3)) for number in range(count))


def test_results_come_in_the_order_of_the_items_whoever_is_faster() -> None:
    found = list(in_order(Work(), items(40, 300_000), processes=2))  # larger than a pipe takes at a time

    assert [number for number, _, _ in found] == [2 * number for number in range(40)]
    assert [len(content) for *_, content in found] == [600_000 * (1 + number % 3) for number in range(40)]
    pids = {pid for _, pid, _ in found}
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2


def test_one_process_is_this_one() -> None:
    assert {pid for _, pid, _ in in_order(Work(), items(3), processes=1)} == {os.getpid()}


def test_items_are_read_as_they_are_needed() -> None:
    read = []

    def some() -> Iterator[tuple[int, bytes]]:
        for item in items(1000):
            read.append(item[0])
            yield item

    results = in_order(Work(), some(), processes=2)
    next(results)

    assert len(read) < 20
    results.close()  # type: ignore[attr-defined]


def test_an_exception_there_is_raised_here_with_its_place() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)in a process that reads samples.*ValueError: no 3"):
        list(in_order(Work(raises_at=3), items(9), processes=2))


def test_a_process_that_was_killed_is_an_expected_error() -> None:
    with pytest.raises(WorkerError) as caught:
        list(in_order(Work(dies_at=3), items(9), processes=2))

    assert "memory" in caught.value.resolution


def test_there_is_a_process_for_each_core_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert processes_here() == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert processes_here() == 1
