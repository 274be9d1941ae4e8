"""The trainer's events on their way home: whoever holds the machine writes them, so each is looked at here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runner.errors import HostWordsError
from runner.run.host_words import plain_data
from trainer.files import object_or_none

LOOK_BYTES = 256 << 10
"""The most that one look at a machine's events brings; a longer line is no event."""
MOST_BYTES = 64 << 20
"""The most of a run's events that is kept: over a hundred thousand steps."""
COUNTS = ("step", "max_steps", "resumed_from_step", "tokens", "size_bytes", "skipped_steps", "done", "total")
NUMBERS = ("epoch", "loss", "learning_rate", "grad_norm", "tokens_per_s", "memory_gib", "eval_loss", "duration_s")
WORDS = ("time", "phase", "device", "device_name", "dtype", "base_model", "model", "status", "message", "resolution",
         "work", "measure", "action", "at")  # fmt: skip
FLAGS = ("passed", "required")


@dataclass(frozen=True)
class Taken:
    """What of a machine's event file came home.

    Attributes:
        content: Whole lines, as long as they were there; one that is no event has become spaces, so that an offset
            in this copy is one in the machine's file.
        events: The events, oldest first, their text printable.
        skipped: How many lines were no events.
    """

    content: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0


def is_full(size_bytes: int) -> bool:
    """Return whether a run's copy of the events, of this size, has no room for another look."""
    return size_bytes > MOST_BYTES - LOOK_BYTES


def take(content: bytes) -> Taken:
    """Return what may come home of a part of a machine's event file that begins with a line.

    A last line without its end is left for the next look, unless it fills a whole look.
    """
    end = content.rfind(b"\n") + 1
    if end == 0:
        return Taken(b" " * len(content), skipped=1) if len(content) >= LOOK_BYTES else Taken()
    lines, kept, events = content[: end - 1].split(b"\n"), [], []
    for line in lines:
        event = read_event(line)
        kept.append(b" " * len(line) if event is None else line)
        events += [] if event is None else [event]
    return Taken(b"\n".join([*kept, b""]), events, sum(bool(line.strip()) for line in lines) - len(events))


def read_event(line: bytes) -> dict[str, Any] | None:
    """Return the event that a line holds, its text printable; ``None`` if it is none.

    An event is an object with a name. What is known of its values (``trainer.events.EVENTS``) has the right type or is
    missing, and no number in it is absurd; an event or a value of a later version is taken as it is.
    """
    event = object_or_none(line)
    if event is None or not isinstance(event.get("event"), str) or not _has_known_types(event):
        return None
    try:
        found: dict[str, Any] = plain_data(event)
    except (HostWordsError, RecursionError):
        return None
    return found


def _has_known_types(event: dict[str, Any]) -> bool:
    return (
        all(_is_count(event.get(name)) for name in COUNTS)
        and all(_is_number(event.get(name)) for name in NUMBERS)
        and all(isinstance(event.get(name), str | None) for name in WORDS)
        and all(isinstance(event.get(name), bool | None) for name in FLAGS)
    )


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
