"""The copy of a run's events at home: read by byte offset, so that a broken connection loses and repeats nothing."""

from __future__ import annotations

from typing import Any

from runner.adapters.machine import Machine
from runner.context import Context
from runner.errors import counted
from runner.run.events import MOST_BYTES, is_full, take
from runner.run.models import Box


class EventCopy:
    """Brings the events home a look at a time; a machine that writes without end is listened to no further."""

    def __init__(self, ctx: Context, machine: Machine) -> None:
        """Go on where the copy at home ends."""
        self._ctx, self._machine = ctx, machine
        self._skipped, self._has_said_full = 0, False

    def look(self, box: Box) -> list[dict[str, Any]] | None:
        """Bring home what one look shows, and return the events in it; ``None`` when there is nothing more."""
        home = self._ctx.run.events
        size_bytes = home.size_bytes()
        if is_full(size_bytes):
            self._say_full()
            return None
        taken = take(self._machine.read_from(box.events, size_bytes))
        if not taken.content:
            return None
        home.append(taken.content)
        self._skipped += taken.skipped
        return taken.events

    def say_skipped(self) -> None:
        """Say how many lines were no events, if any."""
        if self._skipped:
            self._ctx.view.line(f"events: {counted(self._skipped, 'line')} of the machine are no events; skipped")

    def _say_full(self) -> None:
        if not self._has_said_full:
            self._ctx.view.line(f"events: {MOST_BYTES >> 20} MiB are here; what the machine adds is not fetched")
        self._has_said_full = True
