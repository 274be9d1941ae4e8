"""Events: one JSON line each, the only channel from the trainer to whoever watches it.

The file is append-only. A reader may follow it by byte offset and ignores a last line without a newline. Every event
holds ``time`` (UTC, ISO 8601) and ``event``; the other keys are given in ``EVENTS``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from trainer.files import object_or_none

EventName = Literal[
    "run_started",
    "phase_started",
    "phase_ended",
    "loading",
    "data_summary",
    "step",
    "evaluation",
    "checkpoint_saved",
    "checkpoint_removed",
    "checkpoint_stored",
    "checkpoint_skipped",
    "store_failed",
    "store_by_own_rights",
    "interrupted",
    "out_of_memory",
    "stalled",
    "reclaimed",
    "sample",
    "acceptance_check",
    "run_ended",
]

Phase = Literal["data", "load_model", "evaluate_base", "train", "export", "acceptance"]

EVENTS: dict[EventName, str] = {
    "run_started": "device, device_name, dtype, versions, base_model, max_steps, rows, resumed_from_step (0: afresh), "
    "why_no_triton (null: it is used, or not needed), remarks (where a resume has any)",
    "phase_started": "phase",
    "phase_ended": "phase, duration_s",
    "loading": "done, total (tensors of the base model)",
    "data_summary": "the data check's summary: samples, tokens, supervised share, cut samples, length histogram",
    "step": "step, max_steps, epoch, loss, learning_rate, grad_norm, tokens (of this step), tokens_per_s, memory_gib",
    "evaluation": "step, eval_loss, model (training, or as in metrics.json: base_4bit, adapter_4bit, ...)",
    "checkpoint_saved": "step, path, size_bytes, duration_s",
    "checkpoint_removed": "step, message (why it went before its time)",
    "checkpoint_stored": "step, size_bytes (moved), duration_s (of the upload); of the outbox, as the next three",
    "checkpoint_skipped": "step, message (why it never went to the store)",
    "store_failed": "message, resolution",
    "store_by_own_rights": "message",
    "interrupted": "step, signal",
    "out_of_memory": "step, work (training, evaluation, other), message, measure (what is used less of, or null)",
    "stalled": "step, silent_s (without a micro-batch), limit_s, again (whether the trainer is started anew)",
    "reclaimed": "step, action (terminate, stop, hibernate), at (when, by the cloud): it takes the machine back",
    "sample": "prompt, reference, base_answer, adapter_answer",
    "acceptance_check": "name, passed, value, requirement, required (false: a warning)",
    "run_ended": "status (accepted | interrupted | failed), exit_code, message, resolution",
}
"""What each event carries besides ``time`` and ``event``."""
OF_OUTBOX = frozenset({"checkpoint_stored", "checkpoint_skipped", "store_failed", "store_by_own_rights", "reclaimed"})
"""Events that other processes write beside the trainer, maybe after its end."""


class EventLog:
    """Writes events to a file, one flushed line each, so that a killed process loses none."""

    def __init__(self, path: Path) -> None:
        """Append to ``path``; a half line left by a killed writer is ended first."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        if self._file.tell() > 0 and not _ends_with_newline(path):
            self._file.write(b"\n")
            self._file.flush()

    def write(self, event: EventName, **values: Any) -> None:
        """Append one event. A number that is not finite is written as ``null``: JSON has no NaN."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **values}
        self._file.write(json.dumps(_finite(line), ensure_ascii=False, allow_nan=False).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_events(path: Path) -> list[dict[str, Any]]:
    """Return all whole events of a file, oldest first; a missing file has none, a broken line is passed over."""
    return parse_events(path.read_bytes()) if path.exists() else []


def parse_events(content: bytes) -> list[dict[str, Any]]:
    """Return all whole events of a file's content, oldest first; a broken line is passed over."""
    events = []
    for line in content.split(b"\n")[:-1]:
        event = object_or_none(line)
        if event is not None:
            events.append(event)
    return events


def last_step(events: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the last optimizer step that events, oldest first, report; ``None`` where there is none."""
    return next((event.get("step") for event in reversed(events) if event["event"] == "step"), None)


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
