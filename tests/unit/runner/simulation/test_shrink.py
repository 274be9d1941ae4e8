"""Shrinking: only the acts that a broken rule needs are left."""

from __future__ import annotations

from runner.simulation.life import Life
from runner.simulation.rules import Broken
from runner.simulation.script import Act, Script
from runner.simulation.shrink import shrink

KILL, LID, CUT, HANG = Act("kill", 1.0), Act("lid", 2.0), Act("cut", 3.0), Act("hang up", 4.0)


def lives_until_both(script: Script) -> Life:
    """Return a life in which a kill and a cut together are one too many."""
    troubles = ["both"] if {KILL, CUT} <= set(script) else ["the kill alone"] if KILL in script else []
    return Life(1, "lambda", script, troubles=troubles)


def test_what_is_not_needed_goes() -> None:
    life = Life(1, "lambda", (LID, KILL, HANG, CUT), troubles=["both"])

    shortest, found = shrink(life, Broken("it ends", "both"), lives_until_both)

    assert (shortest.script, found.why) == ((KILL,), "the kill alone")


def test_another_rule_that_breaks_is_none_of_its_business() -> None:
    def lives(script: Script) -> Life:
        return Life(1, "lambda", script, alive=[] if script else ["train"])

    life = Life(1, "lambda", (LID,), troubles=["stuck"])

    shortest, found = shrink(life, Broken("words are kept", "odd"), lives)

    assert (shortest, found.why) == (life, "odd")
