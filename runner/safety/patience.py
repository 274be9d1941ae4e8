"""How long somebody waits for a cloud before the word "nothing" counts: one table, for everything that terminates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runner.errors import UsageError

VARIABLE = "DOUSE_PATIENCE"
"""What the waits are multiplied by; rehearsals set it, and the receipt shows it."""


@dataclass(frozen=True)
class Patience:
    """The waits, in seconds.

    Attributes:
        factor: What ``looks_s`` is multiplied by; 1 for real clouds.
        looks_s: When to look for something that was asked for and never answered, counted from the first look: a cloud
            may list a machine long after it has made it. 20 s were seen, so the last look is six times that.
        pause_s: Between two looks at something that is still there.
        longest_s: From "terminate" to gone; then what is left is reported.
    """

    factor: float = 1.0
    looks_s: tuple[float, ...] = (0.0, 15.0, 45.0, 120.0)
    pause_s: float = 3.0
    longest_s: float = 600.0

    def next_look_s(self, waited_s: float) -> float | None:
        """Return how long to wait for the next look after so many seconds, or ``None`` after the last."""
        due = [self.factor * look_s for look_s in self.looks_s if self.factor * look_s > waited_s]
        return due[0] - waited_s if due else None


def patience_of(environ: Mapping[str, str]) -> Patience:
    """Return the table that holds in this environment.

    Raises:
        UsageError: If ``DOUSE_PATIENCE`` is no number between 0 and 1.
    """
    given = environ.get(VARIABLE)
    if not given:
        return Patience()
    try:
        factor = float(given)
    except ValueError:
        factor = -1.0
    if not 0 < factor <= 1:
        raise UsageError(
            f"{VARIABLE} is {given}, not a number over 0 and up to 1", resolution=f"unset {VARIABLE}: rehearsals set it"
        )
    return Patience(factor=factor, longest_s=factor * Patience.longest_s)
