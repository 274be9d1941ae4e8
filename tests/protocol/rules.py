"""What must hold after every act, whatever came before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runner.errors import TeardownError
from tests.protocol.acts import NEVER, Result, State


@dataclass(frozen=True)
class Step:
    """One act, from one state to the next.

    Attributes:
        act: Its name; what happens by itself has none.
        is_answered: Whether the cloud answered.
        before: The state that it began in.
        result: What came of it.
    """

    act: str
    is_answered: bool
    before: State
    result: Result

    @property
    def after(self) -> State:
        """The state after it."""
        return self.result.state

    def is_whole(self, act: str) -> bool:
        """Return whether it is this act, nobody was killed in it, and the cloud answered."""
        return self.act == act and self.is_answered and not self.result.was_killed

    @property
    def is_refused(self) -> bool:
        """Whether it ended with exit status 3."""
        return isinstance(self.result.error, TeardownError)


def ends_ours_alone(step: Step) -> bool:
    """No machine of somebody else is terminated."""
    return step.result.foreign_left == 0


def journal_comes_first(step: Step) -> bool:
    """No machine exists of which the journal knows no request."""
    return bool(step.after.asked) or not step.after.bills


def receipt_is_true(step: Step) -> bool:
    """No machine exists beside a receipt."""
    return not (step.after.bills and step.after.has_receipt)


def who_works_is_left_alone(step: Step) -> bool:
    """No sweep terminates the machine of a runner that is at work."""
    return not (step.act == "sweep" and step.before.runner and step.before.bills and not step.after.bills)


def status_is_a_promise(step: Step) -> bool:
    """Only exit status 3 leaves a machine, and none does so where the cloud answers."""
    return not (step.act == "take_down" and step.after.bills and not step.result.was_killed) or (
        step.is_refused and not step.is_answered
    )


def down_has_a_receipt(step: Step) -> bool:
    """A run that is down has its receipt."""
    return not step.is_whole("take_down") or step.result.error is not None or step.after.has_receipt


def no_false_alarm(step: Step) -> bool:
    """Where a request was written down, the cloud answers and nothing is left, no status says otherwise."""
    return not (step.is_whole("take_down") and step.before.asked and not step.before.bills and step.is_refused)


def guard_ends_it(step: Step) -> bool:
    """A guard that is over has left no machine."""
    return not (step.is_whole("guard") and step.after.bills)


def sweep_ends_it(step: Step) -> bool:
    """A sweep leaves no machine that is listed and whose lease ran out long ago."""
    before = step.before
    is_due = before.word in ("old", NEVER) and not before.runner and not any(before.machines)
    return not (step.is_whole("sweep") and is_due and step.after.bills)


RULES: tuple[Callable[[Step], bool], ...] = (
    ends_ours_alone,
    journal_comes_first,
    receipt_is_true,
    who_works_is_left_alone,
    status_is_a_promise,
    down_has_a_receipt,
    no_false_alarm,
    guard_ends_it,
    sweep_ends_it,
)


def broken_by(step: Step) -> Callable[[Step], bool] | None:
    """Return the first rule that a step breaks, or ``None``."""
    return next((rule for rule in RULES if not rule(step)), None)
