"""A line of the preflight, and how an expected error becomes one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from runner.errors import EXIT_USAGE, CloudUnavailableError, RateLimitedError, UsageError
from trainer.errors import ExpectedError

Status = Literal["pass", "warn", "fail", "skip"]

STEP = re.compile(r"^(?:plan|data|config|base model|chat template|store|sync|terraform|ssh|configure): ")
"""Names of steps that messages begin with; here the line's own name stands in their place."""
PASSING = (CloudUnavailableError, RateLimitedError)
"""Trouble that says nothing about the run: somebody could not be asked now."""
ASK_AGAIN = "check the network, then repeat the command; nothing of it has been seen yet"


class PreflightError(UsageError):
    """Something was seen with which the run must not start."""


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: What was looked at.
        status: ``pass``; ``warn``: may be wrong, or could not be asked; ``fail``: the run cannot do; ``skip``: this run
            has no use for it, or another line has to be mended first.
        value: What was found, in words.
        remedy: What to do, as one imperative line; empty where there is nothing to do.
        error: The error that the line was made from, where it was.
    """

    name: str
    status: Status
    value: str
    remedy: str = ""
    error: ExpectedError | None = field(default=None, compare=False, repr=False)

    def to_mapping(self) -> dict[str, str]:
        """Return plain data."""
        return {"name": self.name, "status": self.status, "value": self.value, "remedy": self.remedy}


def passed(name: str, value: str) -> Check:
    """Return a line that is as it should be."""
    return Check(name, "pass", value)


def warned(name: str, value: str, remedy: str) -> Check:
    """Return a line that a person should look at."""
    return Check(name, "warn", value, remedy)


def failed(name: str, value: str, remedy: str) -> Check:
    """Return a line with which the run must not start."""
    return Check(name, "fail", value, remedy)


def skipped(name: str, value: str) -> Check:
    """Return a line that says why nothing was checked."""
    return Check(name, "skip", value)


def not_asked(name: str, reason: str, remedy: str = ASK_AGAIN) -> Check:
    """Return the line for somebody who gave no answer."""
    return warned(name, f"could not be asked: {reason}", remedy)


def from_error(name: str, err: ExpectedError) -> Check:
    """Return the line for an expected error: a failure, or a warning where somebody could only not be asked."""
    words = STEP.sub("", err.message)
    if isinstance(err, PASSING):
        return not_asked(name, words, err.resolution)
    return replace(failed(name, words, err.resolution), error=err)


def refusal(checks: Iterable[Check]) -> ExpectedError | None:
    """Return the error for the first line that failed, with the words of the error that it was made from, if any.

    Its exit status is that of a wrong run file, whoever refused: nothing was started or rented.
    """
    first = next((check for check in checks if check.status == "fail"), None)
    if first is None:
        return None
    if first.error is None:
        return PreflightError(f"plan: {first.name}: {first.value}", resolution=first.remedy)
    if first.error.exit_code == EXIT_USAGE:
        return first.error
    err = PreflightError(first.error.message, resolution=first.error.resolution, details=first.error.details)
    err.__cause__ = first.error
    return err
