"""Events at the door: what is none is skipped and counted, whatever it is, and offsets stay those of the machine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.run.events import LOOK_BYTES, MOST_BYTES, Taken, is_full, read_event, take

STEP = {"time": "2026-11-28T12:00:00+00:00", "event": "step", "step": 3, "max_steps": 6, "loss": 1.5, "grad_norm": None}


@pytest.mark.parametrize(
    "event",
    [
        STEP,
        {"event": "acceptance_check", "name": "a", "passed": False, "value": 1, "requirement": "b", "required": True},
        {"event": "data_summary", "samples": 3, "length_histogram": [{"from": 0, "to": 8, "count": 3}]},
        {"event": "of a later version", "x": {"y": [1, None]}},
        {"event": "run_ended", "status": "accepted", "exit_code": 0, "message": "the adapter is accepted"},
    ],
)
def test_an_event_passes_as_it_is(event: dict[str, Any]) -> None:
    assert read_event(json.dumps(event).encode()) == event


@pytest.mark.parametrize(
    "line",
    [
        b"", b"[]", b"3", b"null", b'"step"', b"{", b"\xff\xfe", b"{}", b'{"event": 3}', b'{"event": ["step"]}',
        b'{"event": "step", "step": "x"}', b'{"event": "step", "step": true}', b'{"event": "step", "step": -1}',
        b'{"event": "step", "step": 1.5}', b'{"event": "step", "step": ' + b"9" * 400 + b"}",
        b'{"event": "step", "step": ' + b"9" * 5000 + b"}", b'{"event": "step", "loss": 1e999}',
        b'{"event": "step", "loss": NaN}', b'{"event": "step", "loss": [1]}', b'{"event": "step", "max_steps": {}}',
        b'{"event": "run_ended", "message": {"a": 1}}', b'{"event": "acceptance_check", "passed": "no"}',
        b'{"event": "x", "deep": ' + b"[" * 500 + b"]" * 500 + b"}", b'{"event": "x", "deep": ' + b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_event_is_none_and_raises_nothing(line: bytes) -> None:
    assert read_event(line) is None
    assert take(line + b"\n").events == []


def test_the_text_of_an_event_is_printable() -> None:
    found = read_event(b'{"event": "run_ended", "message": "\\u001b[2Jno\\u0007"}')

    assert found == {"event": "run_ended", "message": "no"}


def test_a_bad_line_becomes_spaces_and_is_counted_and_the_half_line_waits() -> None:
    good = json.dumps(STEP).encode()

    taken = take(good + b"\n[1, 2]\n\n" + good + b'\n{"event": "st')

    assert taken == Taken(good + b"\n      \n\n" + good + b"\n", [STEP, STEP], skipped=1)
    assert take(b'{"event": "st') == take(b"") == Taken()


def test_a_line_that_fills_a_look_is_passed_over() -> None:
    assert take(b"x" * LOOK_BYTES) == Taken(b" " * LOOK_BYTES, skipped=1)


def test_a_copy_is_full_before_another_look_goes_beyond_the_limit() -> None:
    assert not is_full(0)
    assert not is_full(MOST_BYTES - LOOK_BYTES)
    assert is_full(MOST_BYTES - LOOK_BYTES + 1)
