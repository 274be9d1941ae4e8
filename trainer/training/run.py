"""What the phases of one training run share: where it writes, what it reports, when it has to stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trainer.beat import Beat
from trainer.config.recipe import Recipe
from trainer.events import EventLog, Phase
from trainer.shortage.forms import shortages_of
from trainer.shortage.measures import WORK_OF_PHASE
from trainer.training.stopping import StopRequest


@dataclass
class Run:
    """What the phases of one run share.

    Attributes:
        recipe: What to do.
        output: Output folder; see ``docs/architecture.md``.
        events: The event file.
        stop: The stop request.
        phase_seconds: How long each phase took, in seconds.
    """

    recipe: Recipe
    output: Path
    events: EventLog
    stop: StopRequest
    phase_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def beat(self) -> Beat:
        """What says that training moves on."""
        return Beat(self.output)

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Report the start and the end of a phase, and its duration."""
        self.events.write("phase_started", phase=name)
        self.say(f"{name} ...")
        started_s = time.monotonic()
        with shortages_of(WORK_OF_PHASE.get(name, "other")):
            yield
        duration_s = round(time.monotonic() - started_s, 2)
        self.phase_seconds[name] = duration_s
        self.events.write("phase_ended", phase=name, duration_s=duration_s)

    def report_loading(self, done: int, total: int) -> None:
        """Report how many of the base model's tensors are loaded."""
        self.events.write("loading", done=done, total=total)

    def say(self, line: str) -> None:
        """Print one line for a person; the run's log keeps it."""
        print(line, flush=True)
