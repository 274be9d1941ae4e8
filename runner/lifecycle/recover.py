"""A run whose machine was lost goes on with another one, within the dollars that were agreed to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from runner.context import Context
from runner.errors import RENTS_AGAIN, NoCapacityError, RunnerError, UsageError
from runner.lifecycle import notices
from runner.lifecycle.finish import Outcome, finish
from runner.lifecycle.replan import check_again
from runner.lifecycle.stored_work import has_come_home
from runner.run.planned import Plan
from runner.run.run_file import RunFile
from runner.run.spend import spend_of
from runner.run.state import locked


def agreed_usd(ctx: Context, planned: Plan | None, *, has_machine: bool = False) -> float | None:
    """Return what all machines of a run may cost by the question that was answered with yes, in US dollars.

    That is the most that one machine may cost until its end, on top of what those before it have cost; a lower
    ``budget.max_usd`` counts. ``None`` where no end of the machine is planned, or nobody can read it any more, and no
    budget is set.

    Args:
        ctx: The run, before the try that was agreed to.
        planned: The plan of that try, or ``None`` for the one in the run's folder.
        has_machine: Whether the try is under way: what was spent is then part of it, and earlier tries are left out,
            so that there is less to spend, never more.
    """
    max_usd = ctx.run_file.budget.max_usd
    try:
        dearest = (planned or ctx.plan).dearest
        spent_usd = 0.0 if has_machine else spend_of(ctx.run).known_usd
    except (RunnerError, OSError):
        return max_usd
    if dearest is None or dearest.most_usd is None:
        return max_usd
    most_usd = dearest.most_usd + spent_usd
    return most_usd if max_usd is None else min(max_usd, most_usd)


def go_on(ctx: Context, outcome: Outcome, most_usd: float | None, live: Callable[[Context, Plan], Outcome]) -> Outcome:
    """Let a run live on as long as its machine is what was lost, at most ``compute.recoveries`` times.

    Args:
        ctx: The run.
        outcome: How its last try ended.
        most_usd: What all its machines together may cost, from ``agreed_usd``.
        live: Takes the run through another try, with the plan for it.

    Returns:
        How the last try ended; where no further one could begin, how the one before did.
    """
    allowed = ctx.run_file.compute.recoveries if ctx.environment.rents_machine else 0
    _say_loss(ctx, outcome)
    for number in range(1, allowed + 1):
        lost = _loss(outcome)
        if lost is None or ctx.stop.requested:
            break
        with locked(ctx.run):
            if has_come_home(ctx):
                return finish(ctx, None)
        ended = _on_some_cloud(ctx, most_usd, f"{lost.message}; recovery {number} of {allowed}", live)
        if ended is None:
            break
        outcome = ended
    return outcome


def _on_some_cloud(
    ctx: Context, most_usd: float | None, why: str, live: Callable[[Context, Plan], Outcome]
) -> Outcome | None:
    """Let a run go on with a machine of its own cloud or, where none can be had for what is left, of another one.

    Returns:
        How the try ended; ``None`` where none could begin.
    """
    ended: Outcome | None = None
    for there in _places(ctx):
        on = f" on {there.run_file.compute.env}" if ctx.run_file.compute.recover_on else ""
        if ctx.stop.requested:
            break
        try:
            again = _within(there, most_usd)
            ctx.view.line(f"{why}{on}, {_at_most(again)}")
            found = check_again(again)
        except RunnerError as err:
            ctx.view.line(f"not recovered{on}: {err.message}")
            continue
        ended = live(again, found)
        _say_loss(again, ended)
        if ended.error is None or ended.error.failure != NoCapacityError.failure:
            break  # something was rented, or this is no matter of machines
    return ended


def _places(ctx: Context) -> Iterator[Context]:
    """Return the run on its own cloud, then on each other one on which it may go on."""
    yield ctx
    compute = ctx.run_file.compute
    for name in compute.recover_on:
        if name != compute.env:
            there: RunFile = ctx.run_file.model_copy(update={"compute": compute.elsewhere(name)})
            yield replace(ctx, run_file=there)


def _loss(outcome: Outcome) -> RunnerError | None:
    """Return the error of a try whose machine is what failed; it was terminated with proof before, or this is none."""
    error = outcome.error
    return error if error is not None and error.failure in RENTS_AGAIN else None


def _say_loss(ctx: Context, outcome: Outcome) -> None:
    lost = _loss(outcome)
    if lost is not None:
        notices.lost(ctx, lost)


def _within(ctx: Context, most_usd: float | None) -> Context:
    """Return the run with what was agreed to as its budget.

    Raises:
        UsageError: If nothing was: another machine would be rented without a limit.
    """
    if most_usd is None:
        raise UsageError(
            "recovery: the plan names no most that the run may cost",
            resolution=f"go on with `make resume RUN={ctx.run.run_id}`, or set budget.max_usd",
        )
    budget = ctx.run_file.budget.model_copy(update={"max_usd": most_usd})
    run_file: RunFile = ctx.run_file.model_copy(update={"budget": budget})
    return Context(ctx.run, run_file, ctx.view, ctx.stop, ctx.world)


def _at_most(ctx: Context) -> str:
    most_usd, spent_usd = ctx.run_file.budget.max_usd or 0.0, spend_of(ctx.run).known_usd
    return f"for at most ${max(0.0, most_usd - spent_usd):.2f} more"
