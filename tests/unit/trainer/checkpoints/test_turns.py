"""Threads that take turns: one works at a time, who waits lets the next one go on, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from trainer.checkpoints.transfer import each
from trainer.checkpoints.turns import PatientLock, turn, waiting

AT_MOST_S = 20.0


def in_threads(*acts: Callable[[], None]) -> None:
    """Do all at the same time; whatever fails or does not end is raised."""
    with ThreadPoolExecutor(len(acts)) as pool:
        for future in [pool.submit(act) for act in acts]:
            future.result(timeout=AT_MOST_S)


def test_one_works_at_a_time_where_turns_are_taken() -> None:
    working, found = list[int](), list[int]()

    def act(item: int) -> None:
        working.append(item)
        time.sleep(0.01)
        found.append(len(working))
        working.remove(item)

    each(range(8), act, 4, lambda _: True)

    assert found == [1] * 8


def test_all_work_at_once_where_none_are() -> None:
    meet = threading.Barrier(4)

    def act(item: int) -> None:
        meet.wait(AT_MOST_S)

    each(range(4), act, 4, lambda _: False)


def test_who_waits_lets_the_others_go_on() -> None:
    meet = threading.Barrier(4)

    def act(item: int) -> None:
        with waiting():
            meet.wait(AT_MOST_S)

    each(range(4), act, 4, lambda _: True)


def test_waiting_without_a_turn_and_within_waiting_is_nothing_special() -> None:
    def take() -> None:
        with turn():
            pass

    with waiting(), waiting():
        in_threads(take)
    with turn(), waiting(), waiting():
        in_threads(take)


def test_a_turn_is_given_back_whatever_happens() -> None:
    def fail(item: int) -> None:
        with waiting():
            raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        each(range(4), fail, 2, lambda _: True)
    with turn():
        pass


def test_who_holds_a_lock_gets_the_turn_back_from_who_wants_the_lock() -> None:
    lock, is_locked, is_wanted = PatientLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with turn(), lock:
            is_locked.set()
            with waiting():
                assert is_wanted.wait(AT_MOST_S)
                time.sleep(0.05)

    def want() -> None:
        assert is_locked.wait(AT_MOST_S)
        with turn():
            is_wanted.set()
            with lock:
                pass

    in_threads(hold, want)
