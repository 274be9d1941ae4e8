"""Turns: the tasks of a virtual world, of which exactly one runs at any moment, in an order drawn from a seed.

A task goes on until it waits for something, or asks who else would, and then the seed says who is next. When everybody
waits, time goes to the first moment at which somebody stops waiting. So the same seed gives the same history, whatever
the machine is doing, and whatever the tasks run on (``strands.py``).
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from typing import Protocol

from runner.simulation.strands import Strand, StuckError, ThreadStrand

HAIR_S = 1e-6
"""Sums of seconds are not exact: a moment is reached that is so close."""
SHORTEST_S = 1e-4
"""No wait is shorter, as on no computer: who waits for a hair again and again comes to an end."""


def always() -> bool:
    """Be due at once: who waits for this lets others come first."""
    return True


def never() -> bool:
    """Not be due before the time is over: who waits for this sleeps."""
    return False


class DeadlockError(Exception):
    """Every task waits for another, and none of them for a moment in time."""


class OverError(BaseException):
    """Ends a task whose process has ended, or whose world is closed: nothing may catch it for good."""


class Place(Protocol):
    """Where tasks run.

    Attributes:
        is_awake: Whether they run now: those of a computer that sleeps do not.
        slept_s: For how many seconds in all they did not run while time went on.
    """

    is_awake: bool
    slept_s: float


class Owner(Protocol):
    """Whose task it is.

    Attributes:
        is_dead: Whether it has ended, so that its tasks are to end too.
    """

    is_dead: bool

    @property
    def place(self) -> Place:
        """Where it runs."""


class Turn:
    """One task: when it may run, and what it waits for."""

    def __init__(self, name: str, owner: Owner, strand: Strand) -> None:
        """Begin with nothing to wait for."""
        self.name, self.owner, self.strand, self.is_over = name, owner, strand, False
        self.is_due: Callable[[], bool] = always
        self.is_told = True
        self.until_s = math.inf


class Turns:
    """All tasks of one world, and its time."""

    def __init__(self, chance: random.Random, strands: type[Strand] = ThreadStrand) -> None:
        """Begin at no time, with no task but that of the thread which made it; ``adopt`` says whose that is."""
        self._strands = strands
        self.chance, self.passed_s, self.is_closed = chance, 0.0, False
        self.failures: list[BaseException] = []
        self._running: Turn | None = None
        self._turns: list[Turn] = []
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbered = 0
        self._main: Turn | None = None
        self._alone_until_s, self._are_told = -math.inf, True
        """Until then nobody but the task that runs is due by time, and nobody by what was done, unless it stirs."""

    @property
    def current(self) -> Turn:
        """The task that runs now.

        Raises:
            DeadlockError: If there is none.
        """
        if self._running is None:
            raise DeadlockError("nobody runs")
        return self._running

    def check(self) -> None:
        """Raise if the process whose task runs has ended."""
        turn = self._running or self.current
        if turn.owner.is_dead:
            raise OverError(turn.name)

    def adopt(self, name: str, owner: Owner) -> None:
        """Take the thread that calls for the world's first task."""
        self._main = self._running = Turn(name, owner, self._strands(name))
        self._turns.append(self._main)

    def start(self, name: str, owner: Owner, work: Callable[[], None]) -> Turn:
        """Let work go on in turn with the rest."""
        turn = Turn(name, owner, self._strands(name))
        self._turns.append(turn)
        self.stir()
        turn.strand.start(lambda: self._live(turn, work))
        return turn

    def at(self, moment_s: float, what: Callable[[], None]) -> None:
        """Let something happen at a moment; it is done at once, in nobody's turn, and must not wait."""
        self._numbered += 1
        heapq.heappush(self._timers, (moment_s, self._numbered, what))

    def stir(self) -> None:
        """Take in that somebody who waits may be due now, by what was done and not by time."""
        self._alone_until_s = -math.inf

    def wait(self, is_due: Callable[[], bool], timeout_s: float | None, *, is_told: bool = False) -> bool:
        """Let others run until ``is_due``, or until the time is over; return whether it is.

        Args:
            is_due: Whether what is waited for has come; that may be by what somebody did, never by time alone.
            timeout_s: For how long to wait at most; ``None`` for ever.
            is_told: Whether whoever does what ``is_due`` waits for calls ``stir``: else it is asked at each turn.
        """
        turn = self._running or self.current
        owner = turn.owner
        if self.is_closed or owner.is_dead:
            raise OverError(turn.name)
        place, until_s = owner.place, math.inf
        if timeout_s is not None:
            waited_s = 0.0 if timeout_s <= 0 else timeout_s if timeout_s > SHORTEST_S else SHORTEST_S
            until_s = self.passed_s - place.slept_s + waited_s
        is_now = is_due is always or (is_due is not never and is_due())
        if place.is_awake and self._goes_on(self.passed_s if is_now else until_s + place.slept_s):
            return is_now or (is_due is not never and is_due())
        turn.is_due, turn.is_told, turn.until_s = is_due, is_told, until_s
        chosen = self._next()
        if chosen is not turn:
            self._running = chosen
            try:
                turn.strand.hand_over(chosen.strand)
            except StuckError as err:
                raise DeadlockError(str(err)) from err
        if self.is_closed or owner.is_dead:
            raise OverError(turn.name)
        return is_due()

    def close(self) -> None:
        """End every task where it waits.

        Raises:
            DeadlockError: If one does not end.
        """
        self.is_closed = True
        for turn in self._turns:
            if turn is self._main:
                continue
            self._running = turn
            if not turn.strand.finish():
                raise DeadlockError(f"{turn.name} does not end")

    def _live(self, turn: Turn, work: Callable[[], None]) -> None:
        try:
            turn.strand.begin()
            if self.is_closed or turn.owner.is_dead:
                raise OverError(turn.name)
            work()
        except OverError:
            pass
        except BaseException as err:  # noqa: BLE001 - a thread has nobody to raise to; the world's end raises it
            self.failures.append(err)
        turn.is_over = True
        if self.is_closed:
            return
        self._turns.remove(turn)
        try:
            self._running = self._next()
        except DeadlockError as err:
            self.failures.append(err)
            self._running = self._main
        if self._running is not None:
            turn.strand.end_with(self._running.strand)

    def _goes_on(self, until_s: float) -> bool:
        """Return whether the task that runs goes on at once, for nobody else is due before it is; let its time pass.

        Three of four waits are such ones, and no task has to be looked at for them.
        """
        if until_s <= self.passed_s + HAIR_S:
            until_s = self.passed_s
        hair_s = until_s + HAIR_S
        if self._alone_until_s <= hair_s or (self._timers and self._timers[0][0] <= hair_s):
            return False
        self.passed_s = until_s
        return True

    def _next(self) -> Turn:
        """Return the task that runs next; when all wait, time goes on to the first that stops waiting."""
        while True:
            while self._timers and self._timers[0][0] <= self.passed_s + HAIR_S:
                heapq.heappop(self._timers)[2]()
            ready, soonest, soonest_s, after_that_s = self._ready()
            if ready:
                self._alone_until_s = soonest_s if len(ready) == 1 and self._are_told else -math.inf
                return ready[0] if len(ready) == 1 else self.chance.choice(ready)
            timer_s = self._timers[0][0] if self._timers else math.inf
            next_s = soonest_s if soonest_s < timer_s else timer_s
            if next_s == math.inf:
                raise DeadlockError(f"waiting for ever: {', '.join(turn.name for turn in self._turns)}")
            if next_s > self.passed_s:
                self.passed_s = next_s
            hair_s = self.passed_s + HAIR_S
            if soonest is not None and timer_s > hair_s and after_that_s > hair_s:
                self._alone_until_s = after_that_s if self._are_told else -math.inf
                return soonest  # nobody has done anything since all were looked at

    def _ready(self) -> tuple[list[Turn], Turn | None, float, float]:
        """Look at all tasks; this is the hot loop.

        Returns:
            Those that may run now; the one that may run soonest by time alone, and when; when another one may.
        """
        now_s, ready = self.passed_s + HAIR_S, []
        soonest, soonest_s, after_that_s = None, math.inf, math.inf
        self._are_told = True
        for turn in self._turns:
            owner, is_due = turn.owner, turn.is_due
            place = owner.place
            if owner.is_dead:
                ready.append(turn)
            elif place.is_awake:
                until_s = turn.until_s + place.slept_s
                if is_due is always or until_s <= now_s or (is_due is not never and is_due()):
                    ready.append(turn)
                    continue
                if not turn.is_told and is_due is not never:
                    self._are_told = False
                if until_s < soonest_s:
                    soonest, soonest_s, after_that_s = turn, until_s, soonest_s
                elif until_s < after_that_s:
                    after_that_s = until_s
        return ready, soonest, soonest_s, after_that_s
