"""How long the runner itself follows a run and collects from it, whatever the machine says or does not say."""

from __future__ import annotations

import math

from runner.context import Context
from runner.lifecycle.terraform_inputs import SPARE_HOURS
from runner.run.spend import WAY_HOME_H, hours_left, spend_of

HOME_HOURS = 0.25
"""Kept of the spare hour for the way home."""
SHORTEST_COLLECT_H = 0.25
"""What there is gets this much time to come home, even late: a cloud without an end of its own still has it."""
GIVEN_COLLECT_H = 24.0
"""A machine that was given costs nothing by the hour, and its line may be slow."""


def hours_to_follow(ctx: Context) -> float:
    """Return how long to follow the trainer from now, in hours; it has a limit of its own, which comes first.

    A rented machine counts from the moment it was asked for, so that a runner that comes back later adds nothing. Where
    ``budget.max_usd`` is set, the time that the money lasts counts as well.
    """
    budget = ctx.run_file.budget
    paid_h = hours_left(ctx.run, max_hours=math.inf, max_usd=budget.max_usd) + WAY_HOME_H
    return min(budget.max_hours + SPARE_HOURS - HOME_HOURS - _gone_h(ctx), paid_h)


def hours_to_stage(ctx: Context) -> float:
    """Return how long bringing files onto the machine may take from now, in hours."""
    return hours_to_follow(ctx) if ctx.environment.bills else math.inf


def hours_to_collect(ctx: Context) -> float:
    """Return how long bringing the results home may take from now, in hours: until the hard end, or a little."""
    if not ctx.environment.bills:
        return GIVEN_COLLECT_H
    return max(SHORTEST_COLLECT_H, ctx.run_file.budget.max_hours + SPARE_HOURS - _gone_h(ctx))


def _gone_h(ctx: Context) -> float:
    """Return for how long the run's machines have billed, over all its tries; nothing for one that was given."""
    return spend_of(ctx.run).billed_s / 3600
