"""A warning, once in the life of a run, when most of what it may take is used."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from runner.context import Context
from runner.lifecycle import notices
from runner.run.events import read_event
from runner.run.rentals import moment_or_none
from runner.run.said_once import is_first_time
from runner.run.spend import spend_of
from runner.safety.asked import DAMAGE

SHARE = 0.8
LONGEST_S = 600.0
"""What is spent is counted no more seldom than this, and before that when the share may be reached by the price."""


class NearLimit:
    """Watches what a run uses of its budget while its trainer is followed."""

    def __init__(self, ctx: Context) -> None:
        """Begin with what the copy of the events knows of the try that goes on."""
        self._ctx, self._is_warned = ctx, False
        self._began: datetime | None = None
        self._latest: datetime | None = None
        self._earlier_h: float | None = None
        self._look_again_s = 0.0
        if ctx.run_file.budget.max_hours is not None:
            for line in ctx.run.events.read_or_nothing().split(b"\n"):
                self.seen(read_event(line) or {})

    def seen(self, event: dict[str, Any]) -> None:
        """Take in an event: a try lasts from its first event to its latest, by the trainer's own clock."""
        at = moment_or_none(event.get("time"))
        if at is None:
            return
        if event.get("event") == "run_started":
            self._began = at
        self._latest = at

    def look(self) -> None:
        """Warn on the screen, in the log and by a notice, if it is time and nobody has."""
        try:
            words = None if self._is_warned else self._usd_words() or self._hours_words()
        except DAMAGE:  # a warning is no reason to end a run
            return
        if words is None:
            return
        self._is_warned = True
        if is_first_time(self._ctx.run, "budget_80"):
            self._ctx.view.line(words)
            notices.note(self._ctx, f"budget_80: {words}")
            notices.say(self._ctx, "budget_80", words)

    def _usd_words(self) -> str | None:
        most_usd = self._ctx.run_file.budget.max_usd
        if most_usd is None:
            return None
        now_s = self._ctx.world.monotonic_s()
        if now_s < self._look_again_s:
            return None
        spend = spend_of(self._ctx.run)
        used_usd = spend.known_usd
        left_usd, usd_per_h = SHARE * most_usd - used_usd, spend.limit_usd_per_h
        if left_usd > 0:
            self._look_again_s = now_s + min(LONGEST_S, left_usd / usd_per_h * 3600 if usd_per_h else LONGEST_S)
            return None
        return (
            f"budget: ${used_usd:.2f} of ${most_usd:.2f} (budget.max_usd) are used; "
            "training stops with a checkpoint before the rest is"
        )

    def _hours_words(self) -> str | None:
        most_h = self._ctx.run_file.budget.max_hours
        if most_h is None or self._began is None or self._latest is None:
            return None
        if self._earlier_h is None:
            self._earlier_h = spend_of(self._ctx.run).earlier_h
        used_h = self._earlier_h + (self._latest - self._began).total_seconds() / 3600
        if used_h < SHARE * most_h:
            return None
        return f"budget: {used_h:.1f} of {most_h:g} h (budget.max_hours) are used; at the end training stops and saves"
