"""Whether the training loop stands still, by the trainer's own pace, and what is said and done then."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import psutil

from trainer.beat import BEAT
from trainer.errors import EXIT_FAILED
from trainer.events import EventLog, last_step, read_events

FLOOR_S = 600.0
"""Silence that is never called a stall: a checkpoint may go to a slow disk meanwhile."""
FIRST_S = 1800.0
"""The same while the pace is not known: kernels are compiled and tuned in the first steps."""
PACES = 10.0
"""So many times the usual silence between two beats is too long."""
KNOWN_AFTER = 4
REMEMBERED = 200
MOST_STALLS = 2
"""A run that stands still for the second time is not started again: it would stand still for ever."""


@dataclass(frozen=True)
class Stall:
    """A training loop that stands still.

    Attributes:
        silent_s: For how long there was no beat.
        limit_s: How long there might have been none.
    """

    silent_s: float
    limit_s: float

    @property
    def words(self) -> str:
        """What happened, for a person."""
        return f"no micro-batch for {self.silent_s:.0f} s, and {self.limit_s:.0f} s are the most for this run"


class StallWatch:
    """Judges one trainer after the other by how long its beat has not changed.

    What is compared is whether the file changed, not the time that it carries: a clock that is set looks like no stall.
    """

    def __init__(self, output: Path) -> None:
        """Take the run's output folder."""
        self._path = output / BEAT
        self.begin()

    def begin(self) -> None:
        """Forget the trainer before: it may have been killed in the middle of a step."""
        self._path.unlink(missing_ok=True)
        self._gaps_s: deque[float] = deque(maxlen=REMEMBERED)
        self._seen: int | None = None
        self._since_s = 0.0

    def look(self, now_s: float, *, paused: bool) -> Stall | None:
        """Return what there is to say if the loop has stood still for too long.

        Args:
            now_s: Seconds on a clock that is never set, and stands still while the machine sleeps.
            paused: Whether somebody has stopped the process for a while, which is no stall.
        """
        beat = self._beat()
        if beat is None or beat != self._seen or paused:
            if beat is not None and self._seen not in (None, beat):
                self._gaps_s.append(now_s - self._since_s)
            self._seen, self._since_s = beat, now_s
        silent_s, limit_s = now_s - self._since_s, self._limit_s()
        return Stall(silent_s, limit_s) if beat is not None and silent_s > limit_s else None

    def _limit_s(self) -> float:
        if len(self._gaps_s) < KNOWN_AFTER:
            return FIRST_S
        return max(FLOOR_S, PACES * statistics.median(self._gaps_s))

    def _beat(self) -> int | None:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return None


def is_paused(pid: int) -> bool:
    """Return whether somebody has stopped a process with a signal, as Ctrl-Z does."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def report_stall(output: Path, stall: Stall, stalls: int) -> bool:
    """Write into the run's events that its trainer stood still and was killed for it.

    Args:
        output: The run's output folder.
        stall: What happened.
        stalls: How often it has happened since the run was launched, this time included.

    Returns:
        Whether the trainer is to be started again; if not, the run's last event is written as well.
    """
    path = output / "events.jsonl"
    goes_on = stalls < MOST_STALLS
    step = last_step(read_events(path)) or 0
    events = EventLog(path)
    numbers = {"silent_s": round(stall.silent_s), "limit_s": round(stall.limit_s)}
    events.write("stalled", step=step, **numbers, again=goes_on)
    if not goes_on:
        events.write(
            "run_ended",
            status="failed",
            exit_code=EXIT_FAILED,
            message=f"train: the loop stood still {stalls} times, now after step {step}: {stall.words}",
            resolution="trainer.log says where (`make logs`); `make resume` goes on from the newest checkpoint",
        )
    events.close()
    return goes_on
