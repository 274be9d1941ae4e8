"""Work beside a block ends with it, however the block ends."""

from __future__ import annotations

import threading

import pytest

from runner.adapters.background import awaited, beside
from runner.world import RealWorld


def test_work_goes_on_beside_the_block_and_ends_with_it() -> None:
    began, ended = threading.Event(), threading.Event()

    def work(over: threading.Event) -> None:
        began.set()
        over.wait(240)
        ended.set()

    with beside(RealWorld(), work, name="test", patience_s=60):
        assert began.wait(240)
        assert not ended.is_set()
    assert ended.is_set()


def test_a_block_that_fails_ends_the_work_as_well() -> None:
    ended = threading.Event()

    def work(over: threading.Event) -> None:
        over.wait(240)
        ended.set()

    with pytest.raises(ZeroDivisionError), beside(RealWorld(), work, name="test", patience_s=60):
        raise ZeroDivisionError
    assert ended.is_set()


def test_work_that_hangs_is_left_alone_once_somebody_is_in_a_hurry() -> None:
    for_good, asked = threading.Event(), iter([False, False, True])

    with beside(
        RealWorld(), lambda over: for_good.wait(240), name="test", patience_s=600, is_urgent=lambda: next(asked)
    ):
        pass

    assert list(asked) == []
    for_good.set()


def test_work_that_is_waited_for_gives_its_result_or_its_error() -> None:
    def fail() -> int:
        raise ZeroDivisionError

    assert awaited(RealWorld(), lambda: 3, name="test", waits=lambda: None) == 3
    with pytest.raises(ZeroDivisionError):
        awaited(RealWorld(), fail, name="test", waits=lambda: None)


def test_work_that_never_ends_is_left_alone_once_nobody_waits() -> None:
    over, asked = threading.Event(), iter(range(3))

    def waits() -> None:
        if next(asked) == 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        awaited(RealWorld(), lambda: over.wait(240), name="test", waits=waits)
    over.set()
