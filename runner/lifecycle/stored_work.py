"""What a run's machine had brought to the store when it ended: if that is all it was to make, no other is rented."""

from __future__ import annotations

from runner.context import Context
from runner.errors import RunnerError
from runner.lifecycle.standing import has_its_work
from runner.lifecycle.step import step
from runner.lifecycle.steps.collect import most_adapter_bytes
from runner.store import run_store as storing


def may_be_stored(ctx: Context) -> bool:
    """Return whether a run has a store, and has ever trained."""
    return "train" in ctx.state.steps and ctx.run_file.store.url is not None


def has_come_home(ctx: Context) -> bool:
    """Return whether what the run was to make is here, after a look into its store; whoever asks holds the run's lock.

    A machine that nobody drives ends itself once its trainer is done, and brings its work to the store before. A store
    that cannot be reached, or whose adapter is damaged, has nothing: that is said, and the run goes on as without one.
    """
    if has_its_work(ctx):
        return True
    if not may_be_stored(ctx):
        return False
    try:
        names = storing.finished_work(ctx, most_bytes=most_adapter_bytes(ctx))
        if not names:
            return False
        ctx.view.line(f"the machine had brought what run {ctx.run.run_id} was to make to the store")
        step(ctx, "collect", lambda: storing.fetch_work(ctx, names))
    except RunnerError as err:
        ctx.view.line(err.message)
        return False
    ctx.state.end("train", "done", float(ctx.state.steps["train"].get("duration_s", 0.0)))
    ctx.state.forget()  # how the run ended is to be said anew
    return True
