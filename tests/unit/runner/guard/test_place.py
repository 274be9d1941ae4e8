"""One guard a run, by a lock outside ``runs/``; whoever takes over ends the one before."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from runner.errors import ToolError
from runner.guard.place import end_guard, living_guard, lock_of, only_guard
from runner.world import RealWorld, World
from tests.unit.runner.fake_cloud import RUN_ID


class Other(RealWorld):
    """The world of another process, whose signals reach one that holds the lock, or is deaf to them."""

    def __init__(self, folder: Path) -> None:
        super().__init__({"DOUSE_CACHE": str(folder)})
        self.guard, self.sent = ExitStack(), list[signal.Signals]()
        self.ends_by: signal.Signals | None = signal.SIGTERM
        self.passed_s = 0.0

    def signal(self, process_id: int, number: signal.Signals) -> None:
        self.sent.append(number)
        if number == self.ends_by:
            self.guard.close()

    def monotonic_s(self) -> float:
        return self.passed_s

    def sleep(self, seconds: float) -> None:
        self.passed_s += seconds


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Other]:
    found = Other(tmp_path)
    with found.guard:
        yield found


def test_the_guard_of_a_run_is_known_by_its_process(other: Other) -> None:
    assert living_guard(RUN_ID, other) is None

    other.guard.enter_context(only_guard(RUN_ID, other))

    assert living_guard(RUN_ID, other) == other.process_id
    assert living_guard("20261121-015501-other", other) is None


def test_who_waits_for_a_guard_to_end_looks_for_its_place_once(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    other.guard.enter_context(only_guard(RUN_ID, other))
    places: list[str] = []

    def place(run_id: str, world: World) -> Path:
        places.append(run_id)
        return lock_of(run_id, world)

    monkeypatch.setattr("runner.guard.place.lock_of", place)
    end_guard(RUN_ID, other)

    assert places == [RUN_ID]
    assert living_guard(RUN_ID, other) is None


@pytest.mark.parametrize(
    ("ends_by", "sent"),
    [(signal.SIGTERM, [signal.SIGTERM]), (signal.SIGKILL, [signal.SIGTERM, signal.SIGKILL])],
    ids=["in order", "deaf"],
)
def test_a_new_guard_takes_the_place_of_the_one_before(
    other: Other, ends_by: signal.Signals, sent: list[signal.Signals]
) -> None:
    other.guard.enter_context(only_guard(RUN_ID, other))
    other.ends_by = ends_by

    with only_guard(RUN_ID, other):
        assert living_guard(RUN_ID, other) == other.process_id

    assert other.sent == sent


def test_one_that_lives_on_is_named(other: Other) -> None:
    other.guard.enter_context(only_guard(RUN_ID, other))
    other.ends_by = None

    with pytest.raises(ToolError, match=f"the guard of {RUN_ID} does not end"):
        end_guard(RUN_ID, other)


def test_where_there_is_none_nothing_is_waited_for(other: Other) -> None:
    end_guard(RUN_ID, other)

    assert (other.sent, other.passed_s) == ([], 0.0)
