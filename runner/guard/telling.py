"""What people hear of a guard: that it has ended a run whose runner is gone, or that it cannot.

Nothing here delays the guard. A notice goes out in a process of its own (decision 0105), after what it is about; only a
guard that has nothing left to do waits for it. That process needs the checkout: without it none arrives, and all else
is as ever.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from runner.adapters.notices.order import notice_of
from runner.adapters.notices.sender import PROCESS_S, Sender
from runner.guard.words import Facts, Receivers
from runner.run.notices_log import note_delivery
from runner.run.notices_section import EventName, NoticesSection
from runner.run.run_dir import RunDir
from runner.run.said_once import note_said_by_guard
from runner.world import World
from trainer.surroundings import allowed

TROUBLE_S = 600.0
"""So long a machine may be overdue before people hear of it: most troubles of a cloud pass by themselves."""


class Telling:
    """What one guard has told: each event once."""

    def __init__(self, facts: Facts, world: World) -> None:
        """Import and keep all that a notice needs.

        Args:
            facts: The run, and who hears of it.
            world: Programs, time, and the run's folder.
        """
        self._facts, self._world = facts, world
        self._run = RunDir(Path(facts.folder), world)
        self._sender = None if facts.receivers is None else self._made_sender(facts.receivers)
        self._told: set[EventName] = set()

    def terminated(self, why: str) -> None:
        """Say that nothing of the run is left, and that it did not finish."""
        facts = self._facts
        self._tell("terminated", f"its guard has seen that nothing of it is left on {facts.cloud} ({why})")
        self._tell(
            "failed",
            f"{why}, and its machine no longer exists; `make resume RUN={facts.run_id}` goes on with another one",
        )

    def shows_nothing(self, why: str) -> None:
        """Say that a run is over, of which there may be a machine yet: a request for one was never answered."""
        self._tell(
            "failed",
            f"{why}; {self._facts.cloud} shows nothing of it, and its guard looks on, for a request for a machine was "
            "never answered",
        )

    def gone(self) -> str:
        """Say that a held run has lost its machine; return that as a finding."""
        again = f"`make resume RUN={self._facts.run_id}` goes on with another one"
        self._tell("failed", f"its machine no longer exists on {self._facts.cloud}; {again}")
        return "the machine no longer exists"

    def gave_up(self) -> str:
        """Say that the guard ends with nothing proved; return that as a finding."""
        said = "gives up a day after the hard end; look into the cloud's console"
        self._told.discard("failed")  # whoever heard that it goes on trying has to hear that it does not
        self._tell("failed", f"it may still bill on {self._facts.cloud}: its guard {said}")
        return said

    def trouble(self, problem: str, late_s: float) -> None:
        """Hear that a try has proved nothing; say so where the machine ought to have been gone for some time.

        Args:
            problem: Why.
            late_s: Seconds since it was due.
        """
        if late_s >= TROUBLE_S:
            facts = self._facts
            self._tell(
                "failed",
                f"it may still bill on {facts.cloud}: its guard cannot terminate it, and goes on trying: {problem}; "
                f"`make down RUN={facts.run_id}`",
            )

    def wait(self) -> None:
        """Wait for what is on its way: whoever sends it would be cut off by the end of this process."""
        if self._sender is not None and self._told:
            self._sender.wait(lambda: False, PROCESS_S)

    def _tell(self, event: EventName, words: str) -> None:
        """Send a notice and return at once."""
        if self._sender is None or event in self._told:
            return
        self._told.add(event)
        with contextlib.suppress(Exception):  # no notice is worth a guard: it has a machine to terminate
            self._sender.send(notice_of(event, self._facts.run_id, words))
            note_said_by_guard(self._run, event)

    def _made_sender(self, receivers: Receivers) -> Sender:
        """Return who sends: with the variables that addresses need, and without the account's key."""
        section = NoticesSection(urls=receivers.urls, events=receivers.events, command=receivers.command)
        return Sender(
            section, self._world, self._note, allowed(self._world.environ) | receivers.variables, receivers.folder
        )

    def _note(self, line: str) -> None:
        note_delivery(self._run.file("logs"), self._world.now(), line)
