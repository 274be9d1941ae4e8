"""What must hold of a life's notices: what people are told of their money is so, and they hear of their run's end."""

from __future__ import annotations

from collections.abc import Iterator

from runner.emulation.cloud_state import OTHER_KEY, REHEARSAL_KEY
from runner.errors import EXIT_DONE, EXIT_LEFTOVERS
from runner.simulation.life import Life
from runner.simulation.more_acts import SETTING
from runner.simulation.promises import FINISHING, NAMES_ADAPTER

RECEIVERS = "notices."
ALL_IS_OVER = frozenset({"terminated", "finished"})
"""Events that say that nothing of the run bills any more."""
ONCE = frozenset({"started", "terminated", "finished"})
"""Events that one command, or one guard, has no second word about."""
AT_THE_SCREEN_S = 60.0
"""Whoever gives a command looks on for so long."""


def people_are_told(life: Life) -> Iterator[str]:
    """Nobody is told that nothing bills while something does, or twice; and of a run's end people hear."""
    for told in life.told:
        if told.event in ALL_IS_OVER and told.billing:
            yield f"people were told at {told.at_s:.0f} s that a run {told.event}, and {told.billing[0]} bills"
        if any(key in told.words for key in (REHEARSAL_KEY, OTHER_KEY)):
            yield f"a notice of {told.at_s:.0f} s holds a key"
    yield from _twice(life)
    if not any(act.kind == SETTING and act.words[0].startswith(RECEIVERS) for act in life.script):
        return
    for one in life.ended:
        said = {told.event for told in life.told if told.at_s <= one.ended_s}
        if (
            one.words[0] in FINISHING
            and one.status == EXIT_DONE
            and NAMES_ADAPTER in one.printed
            and "finished" not in said
        ):
            yield f"{one.words[0]} was done at {one.ended_s:.0f} s, and nobody was told"
        is_unwatched = one.ended_s - one.began_s > AT_THE_SCREEN_S
        if (
            is_unwatched
            and one.words[0] in (*FINISHING, "down")
            and one.status == EXIT_LEFTOVERS
            and "failed" not in said
        ):
            yield f"{one.words[0]} ended at {one.ended_s:.0f} s, something may bill, and nobody was told"


def _twice(life: Life) -> Iterator[str]:
    seen: set[tuple[int, str]] = set()
    for told in life.told:
        if told.event in ONCE and (told.by, told.event) in seen:
            yield f"people were told twice by one process that a run {told.event}, at {told.at_s:.0f} s as well"
        seen.add((told.by, told.event))
