"""A step of the life cycle: begun and ended in ``state.json``, shown, timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from runner.adapters.process import ToolCancelledError
from runner.context import Context
from runner.errors import (
    RunInterruptedError,
)
from runner.run.spend import spend_of

Result = TypeVar("Result")


def step(ctx: Context, name: str, action: Callable[[], Result]) -> Result:
    """Do one step: begin and end stand in ``state.json``, a signal is heard before it."""
    with _timed(ctx, name):
        return action()


@contextmanager
def _timed(ctx: Context, name: str) -> Iterator[None]:
    started, status = ctx.world.monotonic_s(), "failed"
    ctx.state.begin(name)
    ctx.view.step_started(name, lambda: spend_of(ctx.run).total_usd)
    try:
        yield
        status = "done"
    except (RunInterruptedError, ToolCancelledError):
        status = "interrupted"
        raise
    finally:
        ctx.state.end(name, status, ctx.world.monotonic_s() - started)
        ctx.view.step_ended(name, status, ctx.world.monotonic_s() - started)
        spent = spend_of(ctx.run)
        if spent.total_usd:
            ctx.view.line(f"    ${spent.total_usd:.4f} so far ({spent.billed_s / 60:.1f} min)")
