"""A journal that is gone: what it said of earlier machines is unknown from then on, and never nothing."""

from __future__ import annotations

from runner.context import Context
from runner.run.journal import LOST, Journal
from runner.safety.asked import has_lost_lines


def note_lost_lines(ctx: Context) -> None:
    """Begin the journal of a run anew with that, where it is empty, or missing after a machine may have been asked for.

    It is made with its first line, so an empty one has lost it. Else what is rented from here on would be all that the
    receipt, and every limit in dollars, know of.
    """
    if has_lost_lines(ctx.run):
        Journal(ctx.run).answer(LOST)
