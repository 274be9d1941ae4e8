"""The shortest script that still breaks a rule: what is left are the acts that matter."""

from __future__ import annotations

from collections.abc import Callable

from runner.simulation.life import Life
from runner.simulation.rules import Broken, judge
from runner.simulation.script import Script

LiveAgain = Callable[[Script], Life]


def shrink(life: Life, broken: Broken, live_again: LiveAgain) -> tuple[Life, Broken]:
    """Return a life with as few acts as possible in which the same rule does not hold, and what was seen there.

    Args:
        life: A life in which it does not.
        broken: What was seen.
        live_again: Lives the same seed with another script.
    """
    at = 0
    while at < len(life.script):
        shorter = (*life.script[:at], *life.script[at + 1 :])
        tried = live_again(shorter)
        found = next((one for one in judge(tried) if one.rule == broken.rule), None)
        if found is None:
            at += 1
        else:
            life, broken = tried, found
    return life, broken
