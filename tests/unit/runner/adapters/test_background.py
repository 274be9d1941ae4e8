"""Work beside a block ends with it, however the block ends."""

from __future__ import annotations

import threading

import pytest

from runner.adapters.background import beside
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
