"""The lease of a simulated machine: the product's own program decides when it is over."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from runner.run.run_dir import PROJECT
from runner.simulation.flaws import LEASE_IS_DEAF, LEASE_IS_ODD, LEASE_STAYS_DEAD
from runner.simulation.turns import never

if TYPE_CHECKING:
    from runner.simulation.boxes import SimulatedBox

LEASE_PROGRAM = PROJECT / "playbooks" / "roles" / "lease" / "files" / "douse_lease.py"


@cache
def lease_program() -> ModuleType:
    """Return the program that keeps a lease on a machine, which decides here as it does there."""
    spec = importlib.util.spec_from_file_location("douse_lease", LEASE_PROGRAM)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(LEASE_PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BoxLease:
    """The lease of a box; whoever stops renewing it loses the trainer, and the box where it can end itself.

    Attributes:
        began_s: When it began.
    """

    def __init__(self, box: SimulatedBox, settings: Mapping[str, Any], on_end: Callable[[str], None] | None) -> None:
        """Begin a lease; ``on_end`` ends the machine, where there is a way from inside."""
        program, now = lease_program(), box.now_s
        self._box, self._on_end, self.began_s = box, on_end, now
        self._lease = program.Lease(float(settings["ttl_s"]), now + float(settings["hard_end_s"]), now)
        self._idle = program.Idleness(float(settings["idle_s"]), now)
        self._why_over: str | None = None
        self._is_killed, self._was_killed = False, False

    @property
    def can_end(self) -> bool:
        """Whether there was always a way to end the machine from inside."""
        return self._on_end is not None and not self._was_killed

    def kill(self) -> None:
        """Kill its program: nobody there counts any more."""
        self._is_killed = self._was_killed = True
        self._box.note("the lease's program is killed")

    def answer(self, text: str) -> str:
        """Take a runner's word, and return what the program that takes it says; it starts the lease where that died."""
        flaws, was_running = self._box.fate.flaws, not self._is_killed
        if LEASE_IS_ODD in flaws:
            return "no word was heard"
        if self._is_killed and LEASE_STAYS_DEAD not in flaws:
            self._is_killed = False
        written = LEASE_IS_DEAF not in flaws
        if written and not self._is_killed:
            self.hear(text)
        said = {"written": written, "was_running": was_running, "runs": not self._is_killed, "over": self._why_over}
        return json.dumps(said)

    def hear(self, text: str) -> None:
        """Take a runner's word."""
        self._lease.look(text, self._box.now_s)
        self._idle.look(False, self._box.now_s)

    def live(self) -> None:
        """Look every few seconds, as the real one does, until it is over."""
        while self._why_over is None:
            due_s = self._box.now_s + 30.0 if self._is_killed else self._due_s()
            self._box.turns.wait(never, max(1.0, min(30.0, due_s - self._box.now_s)))
            if self._is_killed:
                continue
            now, is_held = self._box.now_s, (self._lease.beat or "").startswith("hold")
            if is_held:
                self._lease.look(self._lease.beat, now)
                self._idle.look(not self._box.is_training, now)
            why = self._lease.why_over(now) or (self._idle.why_over(now) if is_held else None)
            if why is not None:
                self._end(why)

    def _due_s(self) -> float:
        return float(min(self._lease.hard_end, self._lease.renewed + self._lease.ttl_s))

    def _end(self, why: str) -> None:
        self._why_over = why
        self._box.note(f"the lease is over ({why})")
        self._box.stop_trainer()
        if self._box.uploads is not None:
            self._box.uploads.save()
        if self._on_end is not None:
            self._on_end(why)
