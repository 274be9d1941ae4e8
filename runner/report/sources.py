"""Reading what a run left behind: each file may be missing, half-written, or hold something else than expected."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from runner.run.gpu_log import GpuLook, read_looks
from runner.run.planned import PLAN_NAME, lenient_plan
from runner.run.run_dir import RunDir
from trainer.events import parse_events
from trainer.files import NotAnObjectError, parse_object

LONGEST_BITS = 1000
"""A whole number that is longer is no number of ours, and no float can hold it."""

Json = dict[str, Any]


@dataclass
class Sources:
    """The run folder's files as plain data, and what was amiss with them."""

    run: RunDir
    missing: list[str] = field(default_factory=list)

    def read(self, *names: str, needed: bool = True) -> Json:
        """Return the first of ``names`` that can be read, else ``{}`` and a line in ``missing``."""
        problem = f"{names[0]}: not there"
        for name in names:
            path = self.run.file(name)
            if not path.is_file():
                continue
            try:
                return mapping(_clean(parse_object(path.read_bytes())))
            except NotAnObjectError:
                problem, needed = f"{name}: not a JSON object", True
            except (ValueError, OSError) as err:
                problem, needed = f"{name}: cannot be read ({_reason(err)})", True
        if needed:
            self.missing.append(problem)
        return {}

    def plan(self) -> Json:
        """Return the plan as today's format has it; what is odd in it stays odd."""
        return dict(lenient_plan(self.read(PLAN_NAME)))

    def events(self) -> list[Json]:
        """Return the run's events, oldest first, from the tailed copy or the box's own file."""
        for name in ("events.jsonl", "box/output/events.jsonl"):
            path = self.run.file(name)
            if not path.is_file():
                continue
            events = [mapping(_clean(event)) for event in parse_events(path.read_bytes())]
            if events:
                return events
            self.missing.append(f"{name}: holds no event")
            return []
        self.missing.append("events.jsonl: not there")
        return []

    def gpu_log(self) -> tuple[GpuLook, ...]:
        """Return the looks at the machine's GPUs, oldest first; a run without GPUs has none."""
        return read_looks(self.run.gpu_log.read_or_nothing())


def mapping(value: Any) -> Json:
    """Return ``value`` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Json]:
    """Return the JSON objects in ``value`` if it is a list, else none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """Return a finite number, else ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def whole(value: Any) -> int | None:
    """Return a whole number, else ``None``."""
    found = number(value)
    return None if found is None else int(found)


def text(value: Any) -> str | None:
    """Return text that is not empty, else ``None``; numbers and booleans become text."""
    if value is None or isinstance(value, dict | list):
        return None
    return str(value) or None


def moment(value: Any) -> datetime | None:
    """Return an ISO 8601 time as UTC, else ``None``."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def seconds_between(start: Any, end: Any) -> float | None:
    """Return the seconds from one ISO 8601 time to another, else ``None``."""
    first, last = moment(start), moment(end)
    return None if first is None or last is None else max(0.0, (last - first).total_seconds())


def _clean(value: Any) -> Any:
    """Return JSON data without what UTF-8 or JSON cannot hold: lone surrogates and numbers that are not finite."""
    kind = type(value)  # JSON's own types, none of theirs: a report asks this thousands of times
    if kind is dict:
        return {
            _clean_text(key): item if type(item) is str and item.isascii() else _clean(item)
            for key, item in value.items()
        }
    if kind is str:
        return _clean_text(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is int:
        return None if value.bit_length() > LONGEST_BITS else value
    if kind is list:
        return [_clean(item) for item in value]
    return value


def _clean_text(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _reason(err: Exception) -> str:
    if isinstance(err, OSError):
        return err.strerror or type(err).__name__
    return "half-written or not JSON"
