"""What a person sees of a run: bars on a terminal, plain lines in a file or a pipe, nothing for a script."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from runner.errors import RunnerError
from runner.run.host_words import one_line, printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from runner.run.models import View

SpentUsd = Callable[[], float | None]
Clock = Callable[[], float]
"""Seconds since some moment."""
METER_EVERY_S = 1.0


def make_view(clock: Clock, *, quiet: bool = False) -> View:
    """Return the view that suits standard output."""
    if quiet:
        return SilentView()
    return BarView(clock) if sys.stdout.isatty() else LineView(clock)


class SilentView:
    """Shows nothing."""

    def step_started(self, step: str, spent_usd: SpentUsd | None = None) -> None:
        """Show nothing."""

    def step_ended(self, step: str, status: str, duration_s: float) -> None:
        """Show nothing."""

    def line(self, text: str) -> None:
        """Show nothing."""

    def progress(self, text: str) -> None:
        """Show nothing."""

    def event(self, event: dict[str, Any]) -> None:
        """Show nothing."""


class LineView:
    """One plain line for each thing worth knowing."""

    def __init__(self, clock: Clock) -> None:
        """Begin a run."""
        self._pace, self._clock = Pace(clock), clock

    def step_started(self, step: str, spent_usd: SpentUsd | None = None) -> None:
        """Show that a step begins."""
        self.line(f"==> {step}")

    def step_ended(self, step: str, status: str, duration_s: float) -> None:
        """Show that a step has ended."""
        self.line(f"    {step} {status} after {duration_s:.1f} s")

    def line(self, text: str) -> None:
        """Show a line."""
        print(printable(text), flush=True)

    def progress(self, text: str) -> None:
        """Show nothing: a log file is no place for what passes."""

    def event(self, event: dict[str, Any]) -> None:
        """Show an event of the trainer."""
        text = describe_event(event, self._pace)
        if text is not None:
            self.line(f"    {text}")


class BarView(LineView):
    """A progress bar for the steps of training, a status line for the rest."""

    def __init__(self, clock: Clock) -> None:
        """Begin a run."""
        super().__init__(clock)
        self._bars: Progress | None = None
        self._task: TaskID | None = None

    def step_started(self, step: str, spent_usd: SpentUsd | None = None) -> None:
        """Show that a step begins."""
        self._stop_bars()
        super().step_started(step)
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.fields[meter]}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.description}", markup=False),
        )
        self._bars = Progress(*columns, transient=True)
        self._task = self._bars.add_task(step, total=None, meter=Meter(step, self._clock, spent_usd))
        self._bars.start()

    def step_ended(self, step: str, status: str, duration_s: float) -> None:
        """Show that a step has ended."""
        self._stop_bars()
        super().step_ended(step, status, duration_s)

    def line(self, text: str) -> None:
        """Show a line above the bar."""
        self._stop_unseen_bars()
        if self._bars is None:
            super().line(text)
        else:
            self._bars.console.print(printable(text), markup=False, highlight=False)

    def progress(self, text: str) -> None:
        """Show what goes on right now."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, description=one_line(text)[:100])

    def event(self, event: dict[str, Any]) -> None:
        """Move the bar for a step of training; show other events as lines."""
        text = describe_event(event, self._pace)
        if text is None:
            return
        if event.get("event") != "step" or self._bars is None or self._task is None:
            self.line(f"    {text}")
            return
        self._bars.update(self._task, description=text, completed=event.get("step") or 0, total=event.get("max_steps"))

    def _stop_unseen_bars(self) -> None:
        """Go on in plain lines, which the log keeps, once the terminal was closed."""
        if self._bars is not None and not self._bars.console.file.isatty():
            self._stop_bars()

    def _stop_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._task = None


class Meter:
    """The words beside a bar: the step, how long it has gone on, and what the machine has cost so far."""

    def __init__(self, step: str, clock: Clock, spent_usd: SpentUsd | None = None) -> None:
        """Begin to count."""
        self._step, self._spent_usd, self._clock = step, spent_usd, clock
        self._started, self._words, self._read_at = clock(), "", -math.inf

    def __str__(self) -> str:
        """Return the words of now; what the machine has cost is read once a second, for it stands on disk."""
        now = self._clock()
        if now - self._read_at >= METER_EVERY_S:
            self._words, self._read_at = self._spent(), now
        return f"{self._step} {now - self._started:.0f} s{self._words}"

    def _spent(self) -> str:
        try:
            spent = 0.0 if self._spent_usd is None else self._spent_usd()
        except (OSError, ValueError, KeyError, RunnerError):
            return self._words  # it is looked at while it is written: the last word stands
        return f"  ${spent:.4f}" if spent else ""


class Pace:
    """How long the rest of training will take, from the steps seen so far."""

    def __init__(self, clock: Clock) -> None:
        """Begin with nothing seen."""
        self._clock = clock
        self._first: tuple[float, int] | None = None

    def left(self, step: int, max_steps: int) -> str | None:
        """Return the time left as text, once two steps have been seen."""
        now = self._clock()
        if self._first is None or step <= self._first[1]:
            self._first = (now, step)
            return None
        started, first_step = self._first
        seconds = (now - started) / (step - first_step) * (max_steps - step)
        return f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"


def describe_event(event: dict[str, Any], pace: Pace) -> str | None:
    """Return a line for people, or ``None`` for an event that is for programs."""
    describe: dict[str, Callable[[dict[str, Any]], str]] = {
        "run_started": _describe_start,
        "phase_started": lambda event: f"{_words(event.get('phase'))} …",
        "loading": lambda event: f"loading weights: {event.get('done')} of {event.get('total')} tensors",
        "evaluation": lambda event: f"eval loss {_number(event.get('eval_loss'))} ({_words(event.get('model'))})",
        "checkpoint_saved": lambda event: f"checkpoint at step {event.get('step')}",
        "checkpoint_removed": lambda event: f"checkpoint at step {event.get('step')} removed: {event.get('message')}",
        "checkpoint_stored": lambda event: f"checkpoint at step {event.get('step')} is in the store",
        "checkpoint_skipped": lambda event: (
            f"checkpoint at step {event.get('step')} not stored: {event.get('message')}"
        ),
        "store_by_own_rights": lambda event: f"store: {event.get('message')}",
        "store_failed": lambda event: f"{event.get('message')}; training goes on, and so do the tries",
        "out_of_memory": _describe_shortage,
        "stalled": _describe_stall,
        "reclaimed": lambda event: (
            f"the cloud takes the machine back (at the latest {event.get('at')}); stopping with a checkpoint"
        ),
        "interrupted": lambda event: f"stopping at step {event.get('step')}",
        "acceptance_check": _describe_check,
        "run_ended": lambda event: f"{event.get('status')}: {event.get('message') or 'training is over'}",
    }
    if event.get("event") == "step":
        return _describe_step(event, pace)
    words = describe.get(str(event.get("event")))
    return None if words is None else one_line(words(event))


def _describe_start(event: dict[str, Any]) -> str:
    resumed = event.get("resumed_from_step") or 0
    start = f"going on from step {resumed}" if resumed else "training starts"
    remarks = event.get("remarks")
    words = list(remarks) if isinstance(remarks, list) else []
    if event.get("why_no_triton"):
        words.append(f"without Triton: {event['why_no_triton']}")
    also = "".join(f"; {remark}" for remark in words)
    return f"{start} on {event.get('device')} ({event.get('dtype')}){also}"


def _describe_step(event: dict[str, Any], pace: Pace) -> str:
    step, max_steps = int(event.get("step") or 0), int(event.get("max_steps") or 0)
    parts = [f"step {step}/{max_steps}", f"loss {_number(event.get('loss'))}"]
    if event.get("tokens_per_s") is not None:
        parts.append(f"{float(event['tokens_per_s']):.0f} tokens/s")
    if event.get("memory_gib") is not None:
        parts.append(f"{float(event['memory_gib']):.1f} GiB")
    if event.get("skipped_steps"):
        parts.append(f"{event['skipped_steps']} skipped")
    left = pace.left(step, max_steps)
    return "  ".join([*parts, *([left] if left else [])])


def _describe_shortage(event: dict[str, Any]) -> str:
    what = f"out of memory after step {event.get('step') or 0}: {event.get('message')}"
    measure = event.get("measure")
    return what if measure is None else f"{what}; going on with {measure}"


def _describe_stall(event: dict[str, Any]) -> str:
    what = f"standing still after step {event.get('step') or 0}: no micro-batch for {event.get('silent_s')} s"
    return f"{what}; going on from the newest checkpoint" if event.get("again") is True else what


def _describe_check(event: dict[str, Any]) -> str:
    mark = "ok  " if event.get("passed") else "FAIL" if event.get("required", True) else "warn"
    return f"{mark} {_words(event.get('name'))}: {event.get('value')}"


def _words(value: Any) -> str:
    return str(value).replace("_", " ")


def _number(value: Any) -> str:
    return "?" if value is None else f"{float(value):.4f}"
