"""Figures that are known as a range, read from what a plan says; what is not one is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner.report.sources import mapping, number


@dataclass(frozen=True)
class Span:
    """A figure that is known as a range."""

    low: float
    expected: float
    high: float


def amount(value: Any) -> float | None:
    """Return a number that is not below zero, else ``None``."""
    found = number(value)
    return None if found is None or found < 0 else found


def span(value: Any) -> Span | None:
    """Return a range whose values rise, else ``None``."""
    low, expected, high = (amount(mapping(value).get(name)) for name in ("low", "expected", "high"))
    if low is None or expected is None or high is None or not low <= expected <= high:
        return None
    return Span(low, expected, high)


def spans(value: Any) -> dict[str, Span]:
    """Return the ranges of an object, by name."""
    return {name: found for name, one in mapping(value).items() if (found := span(one)) is not None}
