"""A figure that is not known better than between two ends."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """The lowest and the highest likely value, and the one to expect.

    Attributes:
        low: The lowest value.
        expected: The value to expect.
        high: The highest value.
    """

    low: float
    expected: float
    high: float

    def __post_init__(self) -> None:
        """Refuse ends that are the wrong way round.

        Raises:
            ValueError: If the values do not rise.
        """
        if not self.low <= self.expected <= self.high:
            raise ValueError(f"{self.low}, {self.expected}, {self.high} do not rise")

    def __add__(self, other: Range) -> Range:
        """Return the range of the sum: all low, all as expected, all high."""
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def times(self, factor: float) -> Range:
        """Return the range with each value multiplied by a factor that is not negative."""
        return Range(self.low * factor, self.expected * factor, self.high * factor)

    def into(self, amount: float) -> Range:
        """Return how long an amount takes at this speed: the highest speed takes the least time."""
        return Range(amount / self.high, amount / self.expected, amount / self.low)

    def to_mapping(self) -> dict[str, float]:
        """Return plain data, with more decimals than are shown anywhere: what was rounded twice may be a cent off."""
        return {"low": round(self.low, 7), "expected": round(self.expected, 7), "high": round(self.high, 7)}


NOTHING = Range(0.0, 0.0, 0.0)


def exactly(value: float) -> Range:
    """Return a range of one value."""
    return Range(value, value, value)


def between(low: float, high: float) -> Range:
    """Return a range of which only the ends are known: expected is their geometric mean."""
    return Range(low, min(max(low, math.sqrt(low * high)), high), high)


def total(ranges: Iterable[Range]) -> Range:
    """Return the range of a sum."""
    return sum(ranges, NOTHING)
