"""What moves the files of a transfer: several at a time in threads of their own, one at a time in none."""

from __future__ import annotations

import threading

import pytest

from trainer.checkpoints.transfer import each


def test_one_at_a_time_needs_no_thread() -> None:
    acted: list[tuple[int, threading.Thread]] = []

    def act(item: int) -> int:
        acted.append((item, threading.current_thread()))
        return 2 * item

    assert each([1, 2, 3], act, 1) == [2, 4, 6]
    assert acted == [(item, threading.current_thread()) for item in (1, 2, 3)]


@pytest.mark.parametrize("at_once", [1, 4])
def test_the_first_failure_is_raised(at_once: int) -> None:
    def act(item: int) -> None:
        raise ValueError(item)

    with pytest.raises(ValueError, match="1"):
        each([1, 2, 3], act, at_once)
