"""A run that is resumed with another run file: it may be made longer, and stays the same otherwise."""

from __future__ import annotations

from runner.context import Context
from runner.errors import RunnerError, UsageError
from runner.lifecycle.standing import has_its_work
from runner.planning.estimate.micro_batch import settled_by_plan
from runner.run.run_file import RunFile
from trainer.checkpoints.complete import newest_complete
from trainer.checkpoints.recipes import LENGTH_KEYS, check_recipe, recipe_values
from trainer.errors import CheckpointError


def with_same_steps(ctx: Context, run_file: RunFile) -> RunFile:
    """Return a changed run file that goes on with the steps that the run began with, if it has a checkpoint.

    Where the run file leaves the micro-batches in a step open, they stay as the first plan settled them: a longer run
    would get more of them, and other steps.

    Raises:
        UsageError: If it differs in more than its length, before anything is rented for what the trainer would refuse;
            the message names each key with both values. Or if it gives a finished run another length and there is no
            checkpoint: the run would be trained anew.
    """
    try:
        run_file = settled_by_plan(run_file, ctx.plan.data)
        was = recipe_values(settled_by_plan(ctx.run_file, ctx.plan.data).recipe())
    except RunnerError:  # the plan is damaged: it is made anew
        was = recipe_values(ctx.run_file.recipe())
    if newest_complete(ctx.run.checkpoints)[0] is not None:
        try:
            check_recipe(ctx.run.run_id, was, recipe_values(run_file.recipe()))
        except CheckpointError as err:
            raise UsageError(err.message, resolution=err.resolution) from err
    elif (ctx.state.outcome == "done" or has_its_work(ctx)) and is_made_longer(ctx, run_file):
        raise UsageError(
            f"resume: {ctx.run.run_id} is done, and no checkpoint of it is here to go on from",
            resolution="start a new run of that length; checkpointing.bring_home lets a finished run be made longer",
        )
    return run_file


def is_made_longer(ctx: Context, run_file: RunFile | None) -> bool:
    """Return whether a run file gives a run another length."""
    was = recipe_values(ctx.run_file.recipe())
    now = was if run_file is None else recipe_values(run_file.recipe())
    return any(was[key] != now[key] for key in LENGTH_KEYS)


def is_of_another_recipe(ctx: Context, run_file: RunFile | None) -> bool:
    """Return whether a run file gives a run anything else to make: another length, rate, or way to read its data."""
    return run_file is not None and recipe_values(ctx.run_file.recipe()) != recipe_values(run_file.recipe())
