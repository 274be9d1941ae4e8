from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.events import EventLog, last_step, read_events


def test_events_are_read_back_in_order_with_their_time(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.write("phase_started", phase="data")
    log.write("phase_ended", phase="data", duration_s=1.5)
    log.close()

    events = read_events(tmp_path / "events.jsonl")

    assert [event["event"] for event in events] == ["phase_started", "phase_ended"]
    assert all(event["time"].endswith("+00:00") for event in events)


def test_a_number_that_is_not_finite_is_null_and_never_zero(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    log.write("step", loss=float("nan"), history=[float("inf"), 1.0])
    log.close()

    event = json.loads((tmp_path / "events.jsonl").read_text())

    assert event["loss"] is None
    assert event["history"] == [None, 1.0]


def test_a_half_line_of_a_killed_writer_is_passed_over_and_ended(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event":"step","step":1}\n{"event":"st')
    assert [event["step"] for event in read_events(path)] == [1]

    log = EventLog(path)
    log.write("step", step=2)
    log.close()

    assert [event["step"] for event in read_events(path)] == [1, 2]


def test_a_missing_file_has_no_events(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    ("events", "step"),
    [
        ([], None),
        ([{"event": "checkpoint_saved", "step": 4}], None),
        ([{"event": "step", "step": 4}, {"event": "step", "step": 5}, {"event": "evaluation", "step": 6}], 5),
    ],
)
def test_the_last_step_is_that_of_the_last_event_of_its_kind(events: list[dict[str, Any]], step: int | None) -> None:
    assert last_step(events) == step
