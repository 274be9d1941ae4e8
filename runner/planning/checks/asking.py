"""Questions over the network: all asked at once, none waited for longer than the caller has patience."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from runner.errors import RunnerError
from runner.planning.checks.line import ASK_AGAIN, Check, not_asked
from runner.world import World

PATIENCE_S = 10.0
"""How long a question may go without an answer; a cloud that wants a second between requests gets its few requests."""
LOOK_S = 0.1
T = TypeVar("T")


class NoAnswerError(RunnerError):
    """Nobody answered in time; what was asked goes on in a thread that the process does not wait for."""


class Question(Generic[T]):
    """Something that is being asked in a thread of its own."""

    def __init__(self, world: World, work: Callable[[], T], *, name: str, patience_s: float = PATIENCE_S) -> None:
        """Ask now.

        Args:
            world: Where it is asked.
            work: Asks, and returns the answer.
            name: What is asked, for the thread's name.
            patience_s: Seconds from now after which nobody waits any more.
        """
        self._work, self._patience_s = work, patience_s
        self._world, self._until_s = world, world.monotonic_s() + patience_s
        self._over = world.event()
        self._answers: list[T] = []
        self._trouble: BaseException | None = None
        # Not a pool's thread: Python waits for those at its end, however long they take.
        world.start(self._ask, name=f"preflight {name}")

    def answer(self, check_stop: Callable[[], None] = lambda: None) -> T:
        """Return the answer, or raise what asking raised.

        Args:
            check_stop: Called now and then while waiting; may raise.

        Raises:
            NoAnswerError: If there is none in time.
        """
        while not self._over.wait(max(0.0, min(LOOK_S, self._until_s - self._world.monotonic_s()))):
            check_stop()
            if self._world.monotonic_s() >= self._until_s:
                raise NoAnswerError(f"no answer within {self._patience_s:g} s", resolution=ASK_AGAIN)
        if self._trouble is not None:
            raise self._trouble
        return self._answers[0]

    def _ask(self) -> None:
        try:
            self._answers.append(self._work())
        except BaseException as err:  # noqa: BLE001 - it is raised again where the answer is waited for
            self._trouble = err
        finally:
            self._over.set()


def lines_of(
    question: Question[list[Check]], names: Sequence[str], check_stop: Callable[[], None] = lambda: None
) -> list[Check]:
    """Return the lines that a question is answered with, or a warning for each name where nobody answers."""
    try:
        return question.answer(check_stop)
    except NoAnswerError as err:
        return [not_asked(name, err.message, err.resolution) for name in names]
