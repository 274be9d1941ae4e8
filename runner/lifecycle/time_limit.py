"""How long a run trains, is followed and collected from, whatever the machine says or does not say."""

from __future__ import annotations

import math

from runner.context import Context
from runner.errors import RunnerError
from runner.lifecycle.terraform_inputs import hours_gone, rented_until
from runner.planning.ends import BLIND_TRAINING_H, SPARE_HOURS
from runner.run.planned import PlannedMachine
from runner.run.spend import SHORTEST_H, WAY_HOME_H, hours_left

HOME_HOURS = 0.25
"""Kept of the spare hour for the way home."""
SHORTEST_COLLECT_H = 0.25
"""What there is gets this much time to come home, even late: a cloud without an end of its own still has it."""
GIVEN_COLLECT_H = 24.0
"""A machine that was given costs nothing by the hour, and its line may be slow."""


def hours_to_train(ctx: Context) -> float:
    """Return after how many hours from now the trainer saves a checkpoint and stops; endless where nothing limits it.

    On a rented machine that is before the machine's own end, early enough for the last checkpoint.
    """
    budget = ctx.run_file.budget
    run_h = hours_left(ctx.run, max_hours=budget.max_hours or math.inf, max_usd=budget.max_usd)
    return max(SHORTEST_H, min(run_h, _training_limit_h(ctx), _machine_left_h(ctx) - WAY_HOME_H))


def hours_to_follow(ctx: Context) -> float:
    """Return how long to follow the trainer from now, in hours; it has a limit of its own, which comes first.

    A rented machine counts from the moment it was asked for, so that a runner that comes back later adds nothing. Where
    ``budget.max_usd`` is set, the time that the money lasts counts as well.
    """
    paid_h = hours_left(ctx.run, max_hours=math.inf, max_usd=ctx.run_file.budget.max_usd) + WAY_HOME_H
    home_h = SPARE_HOURS - HOME_HOURS
    return min(_training_limit_h(ctx) + home_h - hours_gone(ctx), _machine_left_h(ctx), paid_h)


def hours_to_stage(ctx: Context) -> float:
    """Return how long bringing files onto the machine may take from now, in hours."""
    return hours_to_follow(ctx) if ctx.environment.bills else math.inf


def hours_to_collect(ctx: Context) -> float:
    """Return how long bringing the results home may take from now, in hours: until the hard end, or a little."""
    if not ctx.environment.bills:
        return GIVEN_COLLECT_H
    time_h = _training_limit_h(ctx) + SPARE_HOURS - hours_gone(ctx)
    return max(SHORTEST_COLLECT_H, min(time_h, _machine_left_h(ctx)))


def _training_limit_h(ctx: Context) -> float:
    """Return the hours of training that the plan, else the run file, allows on the run's machine."""
    planned = [one.training_limit_h for one in _planned(ctx) if one.training_limit_h is not None]
    unplanned = BLIND_TRAINING_H if ctx.environment.bills else math.inf
    return min(planned, default=ctx.run_file.budget.max_hours or unplanned)


def _planned(ctx: Context) -> list[PlannedMachine]:
    """Return the planned machines that the run's machine may be; none where the plan cannot be read any more."""
    host = ctx.host()
    try:
        return [] if host is None else ctx.plan.machines_of(host)
    except RunnerError:
        return []


def _machine_left_h(ctx: Context) -> float:
    """Return the hours until the end that the run's machine was rented with; endless where none is known."""
    ends = rented_until(ctx) if ctx.environment.bills else None
    return math.inf if ends is None else (ends - ctx.world.now()).total_seconds() / 3600
