"""The guard's judgement: when a run's machine has to go, and that it goes.

It counts by a clock that goes on while this computer sleeps. As long as words of a runner come it does nothing, and it
asks the cloud nothing. It acts when the last word is older than the lease, whatever locks say: the runner was killed,
was stopped, hangs, or went with the session that it was started in. The machine gets time to save its work first. A run
that its runner has left on purpose (``hold``) the guard looks after: it asks how training stands, and the machine goes
when nothing has trained for some time. Past the hard end nothing keeps a machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runner.cloud_api.models import Cloud
from runner.errors import RunnerError
from runner.guard.kept import is_shown_at_cloud, said_here
from runner.guard.notes import Notes
from runner.guard.telling import Telling
from runner.guard.words import Facts, Held, Words, held_in
from runner.run.models import TrainerState
from runner.safety.account_sweep import reason_of
from runner.safety.asked import LATE_S
from runner.safety.patience import patience_of
from runner.safety.terminate import Terminated, of_run, terminate_run
from runner.world import World

TICK_S = 20.0
"""Longest pause between two judgements."""
SHORTEST_S = 0.2
WAKE_S = 60.0
"""A runner that slept with this computer gets so long to say a word: what it could bring home goes with the machine."""
PAUSED_S = 10.0
"""A wait that took so much longer: this computer slept, or was paused, which not every clock shows."""
AGAIN_S = 60.0
"""Pause after a try that proved nothing."""
LATE_PAUSE_S = 300.0
LOOK_S = 60.0
"""Pause between two questions after the trainer."""
SILENT_LOOKS = 3
"""After so many questions without an answer the cloud is asked whether the machine is still there."""
ABSENT_LOOKS = 2
"""So often one after the other the cloud has to show no machine: it may list one late."""
LONGEST_AFTER_END_S = 24 * 3600.0
REFUSED_S = 60.0
"""A cloud on this computer that refuses connections for so long was an emulated one, and is over."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")

Look = Callable[[Held], TrainerState]


class _RunOverError(Exception):
    """Ends a termination that nobody needs any more; its text says why."""


class Guard:
    """Watches over one run."""

    def __init__(self, facts: Facts, cloud: Cloud, world: World, words: Words, look: Look) -> None:
        """Begin to count now.

        Args:
            facts: The run.
            cloud: The account in which it rents.
            world: Clocks, connections, and where the notes go.
            words: What its runner says.
            look: Asks a held run's machine how training stands.
        """
        self._facts, self._cloud, self._world, self._words, self._look = facts, cloud, world, words, look
        self._notes, self._telling = Notes(Path(facts.folder), world), Telling(facts, world)
        now_s = world.boottime_s()
        self._word_s = self._woke_s = self._again_s = self._look_s = now_s
        self._slept_s = now_s - world.monotonic_s()
        self._hard_end_s, self._saving_s = now_s + facts.hard_end_s, facts.saving_s
        self._held: Held | None = None
        self._idle_end_s: float | None = None
        self._is_begun = False
        self._late_until_s: float | None = None
        self._refused_s: float | None = None
        self._gone_s: float | None = None
        self._is_asking, self._silent, self._absent, self._over = False, 0, 0, ""
        self._is_held_elsewhere = False

    def watch(self) -> str:
        """Watch until the run is over; return why it is."""
        self._notes.say(f"watches over run {self._facts.run_id} on {self._facts.cloud}")
        while True:
            try:
                self._hear(self._pause_s())
                over = self._judge()
            except _RunOverError as err:
                over = str(err)
            except Exception as err:  # noqa: BLE001 - a defect of ours must not leave a machine alone
                over = None
                self._try_again(f"{type(err).__name__}: {err}")
            if over is not None:
                self._notes.say(over)
                self._telling.wait()
                return over

    def _pause_s(self) -> float:
        """Return how long to wait for words: no longer than until the machine may have to go."""
        left_s = self._due_s() - self._world.boottime_s()
        if left_s <= 0:
            left_s = self._again_s - self._world.boottime_s()
        return max(SHORTEST_S, min(TICK_S, left_s))

    def _is_free_to_try(self) -> bool:
        return self._world.boottime_s() >= self._again_s

    def _hear(self, timeout_s: float) -> None:
        """Take what is said within a time, and notice what has ended meanwhile."""
        until_s = self._world.boottime_s() + timeout_s
        for word in self._words.next(timeout_s):
            self._take(word)
        if self._words.has_ended and self._gone_s is None:
            self._gone_s = self._world.boottime_s()
        now_s = self._world.boottime_s()
        slept_s = now_s - self._world.monotonic_s()
        if slept_s > self._slept_s + 1.0 or now_s > until_s + PAUSED_S:
            self._woke_s = now_s
        self._slept_s = slept_s
        if self._over:
            raise _RunOverError(self._over)
        if self._is_endpoint_gone():
            raise _RunOverError(f"nobody answers at {self._facts.endpoint}: the emulated cloud is over")

    def _take(self, word: Mapping[str, Any]) -> None:
        self._word_s, self._is_held_elsewhere = self._world.boottime_s(), False
        if word["word"] == "over":
            self._over = "the run is over, and its runner has seen that nothing is left"
        elif word["word"] == "hold":
            self._held = held_in(word)
            self._hard_end_s = self._word_s + self._held.hard_end_s
            self._idle_end_s, self._look_s, self._is_begun = None, self._word_s, False
            self._notes.say("keeps the run by itself: its runner has left on purpose")
        elif word["word"] == "asks":
            self._is_asking, self._hard_end_s = True, self._word_s + float(word["hard_end_s"])
        elif word["word"] == "rented":
            self._is_asking = False
        elif word["word"] == "saves":
            self._saving_s = float(word["saving_s"])

    def _judge(self) -> str | None:
        """Do what is due; return why the run is over, once it is."""
        now_s = self._world.boottime_s()
        if now_s > self._hard_end_s + LONGEST_AFTER_END_S:
            return self._telling.gave_up()
        if now_s >= self._due_s():
            return self._terminate() if self._is_free_to_try() else None
        if self._held is not None and self._held.prefix is not None and now_s >= self._look_s:
            self._look_s = now_s + LOOK_S
            return self._look_after(self._held)
        return None

    def _due_s(self) -> float:
        """Return when the machine has to go, as far as is known now."""
        if self._held is not None:
            return min(self._hard_end_s, self._hard_end_s if self._idle_end_s is None else self._idle_end_s)
        if self._is_held_elsewhere:
            return self._hard_end_s
        due_s = self._word_s + self._facts.lease_s + self._saving_s
        if not self._words.has_ended:
            due_s = max(due_s, self._woke_s + WAKE_S if self._woke_s > self._word_s else due_s)
        return min(self._hard_end_s, due_s)

    def _why(self) -> str:
        now_s = self._world.boottime_s()
        if now_s >= self._hard_end_s:
            return "the hard end has passed"
        if self._held is not None:
            idle = f"{self._held.idle_s / 60:.0f} minutes"
            ended = f"training ended {idle} ago" if self._is_begun else f"nothing has trained for {idle}"
            return f"{ended}, and nobody came"
        runner = "the runner is gone" if self._words.has_ended else "the runner does nothing"
        return f"{runner}: no word for {(now_s - self._word_s) / 60:.1f} minutes"

    def _terminate(self) -> str | None:
        """Terminate what the run has in its account; return why the run is over, if that is proved."""
        why = self._why()
        if self._late_until_s is None and (keeper := self._keeper()):
            self._notes.say(f"another runner keeps the machine: {keeper}")
            return None
        if self._late_until_s is None:
            self._notes.say(f"{why}; terminating the machine")
        try:
            seen = terminate_run(
                self._cloud,
                self._facts.run_id,
                outcome_unknown=True,
                wait=self._wait,
                patience=patience_of(self._world.environ),
            )
        except RunnerError as err:
            self._try_again(err.message)
            return None
        if seen.is_proved:
            return self._proved(why, seen)
        problem = "; ".join(seen.problems(self._facts.cloud))
        self._try_again(problem, AGAIN_S if seen.left else LATE_PAUSE_S)
        return None

    def _keeper(self) -> str:
        """Return which other runner keeps the machine, and count from its word; nothing where none does."""
        now_s = self._world.boottime_s()
        if self._held is not None or now_s >= self._hard_end_s:
            return ""
        gone_s = None if self._gone_s is None else now_s - self._gone_s
        said = said_here(self._facts, self._world, now_s - self._word_s, gone_s)
        if said is not None and said[0] == "hold":
            self._is_held_elsewhere = True
            return "it has left the run to another guard, by the run's folder"
        if said is not None:
            self._word_s = now_s - said[1]
            return "it has renewed the lease since, by the run's folder"
        if is_shown_at_cloud(self._facts, self._cloud, self._world, now_s - self._word_s):
            self._word_s = now_s
            return "the cloud shows a lease that is newer than ours"
        return ""

    def _proved(self, why: str, seen: Terminated) -> str | None:
        """Return why the run is over; not yet, where a request without an answer may still be carried out."""
        now_s = self._world.boottime_s()
        if self._late_until_s is None:
            self._late_until_s = now_s + (LATE_S if self._is_asking else 0.0)
        ended = ", ".join(f"{found.kind} {found.id}" for found in seen.ended) or "nothing was left to terminate"
        said = f"{why}; {ended}: the cloud's own listing shows nothing of the run"
        if now_s >= self._late_until_s:
            self._telling.terminated(why)
            return said
        self._telling.shows_nothing(why)
        self._notes.say(f"{said}; looking again, for a request was never answered")
        self._again_s = now_s + LATE_PAUSE_S
        return None

    def _try_again(self, problem: str, pause_s: float = AGAIN_S) -> None:
        self._again_s = self._world.boottime_s() + pause_s
        self._notes.say(f"not proved that nothing is left, trying again every {pause_s:.0f} s: {problem}")
        self._telling.trouble(problem, late_s=self._world.boottime_s() - self._due_s())

    def _wait(self, seconds: float) -> None:
        """Wait between two looks of a termination, and hear meanwhile."""
        until_s = self._world.monotonic_s() + seconds
        while (left_s := until_s - self._world.monotonic_s()) > 0:
            self._hear(min(TICK_S, left_s))

    def _look_after(self, held: Held) -> str | None:
        """Ask how training stands; return why the run is over, if its machine no longer exists."""
        try:
            state = self._look(held)
        except (RunnerError, OSError) as err:  # OSError: no room here for the key
            self._silent += 1
            self._notes.say(f"cannot see how training stands: {reason_of(err)}")
            return self._is_gone() if self._silent >= SILENT_LOOKS else None
        self._silent = self._absent = 0
        now_s, is_begun = self._world.boottime_s(), state != "none"
        if state == "running":
            if self._idle_end_s is not None:
                self._move_lease(self._hard_end_s - now_s)
            self._idle_end_s = None
            self._notes.say("training goes on")
        elif self._idle_end_s is None or is_begun != self._is_begun:
            self._idle_end_s = now_s + held.idle_s
            stands = "training has ended" if is_begun else "nothing trains yet"
            self._notes.say(f"{stands}; the machine is terminated in {held.idle_s / 60:.0f} minutes")
            self._move_lease(min(self._idle_end_s, self._hard_end_s) - now_s)
        self._is_begun = is_begun
        return None

    def _is_gone(self) -> str | None:
        """Ask the cloud for a machine that does not answer; return why the run is over, if it shows none."""
        try:
            there = of_run(self._cloud, self._facts.run_id).whole()
        except RunnerError as err:
            self._notes.say(f"the machine does not answer, and neither does its cloud: {err.message}")
            return None
        self._absent = 0 if any(found.kind == "instance" for found in there) else self._absent + 1
        return self._telling.gone() if self._absent >= ABSENT_LOOKS else None

    def _move_lease(self, seconds: float) -> None:
        """Let the cloud show when the machine goes, where it keeps such a thing: this computer may be off by then."""
        ends_at = self._world.now() + timedelta(seconds=seconds)
        try:
            for found in of_run(self._cloud, self._facts.run_id).resources:
                if found.kind == "instance":
                    self._cloud.move_lease(found, ends_at)
        except RunnerError as err:
            self._notes.say(f"the cloud does not show when the machine goes: {err.message}")

    def _is_endpoint_gone(self) -> bool:
        """Return whether the cloud was on this computer and has refused every connection for a while."""
        address = urlsplit(self._facts.endpoint)
        if address.hostname not in LOOPBACK or address.port is None:
            return False
        try:
            self._world.connect(address.hostname, address.port, SHORTEST_S).close()
        except ConnectionRefusedError:
            now_s = self._world.boottime_s()
            self._refused_s = now_s if self._refused_s is None else self._refused_s
            return now_s - self._refused_s >= REFUSED_S
        except OSError:
            return False
        self._refused_s = None
        return False
