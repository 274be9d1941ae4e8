"""The question before the first dollar: what the plan says, and whether to go on."""

from __future__ import annotations

import sys
from typing import TextIO

from runner.context import Context
from runner.errors import RunInterruptedError

LOOK_EVERY_S = 0.2
YES = ("y", "yes")


def ask_to_rent(ctx: Context, *, yes: bool) -> None:
    """Ask a person whether to rent what the plan names; a machine of one's own, or nobody at a terminal, is not asked.

    Args:
        ctx: The planned run.
        yes: Whether the answer was given beforehand.

    Raises:
        RunInterruptedError: If the answer is no, or Ctrl-C; nothing was rented.
    """
    if yes or not ctx.environment.bills or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    print(f"{question(ctx)} [y/N] ", end="", flush=True)
    if _line(ctx, sys.stdin).strip().lower() not in YES:
        raise RunInterruptedError(
            "plan: nothing was rented: the answer was not yes",
            resolution=f"start this run with `make resume RUN={ctx.run.run_id}`, or answer beforehand with YES=1",
        )


def may_close(run_id: str, trouble: str) -> bool:
    """Ask a person whether to close a run of which a machine may be left; only a typed yes at a terminal is one."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    print(f"{trouble}\nSomething may go on billing. Close {run_id} all the same? [yes/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() == "yes"


def question(ctx: Context) -> str:
    """Return the question: the machine, its price, and the most that the run file lets it cost."""
    machines, first = ctx.plan.machines, ctx.plan.first
    budget = ctx.run_file.budget
    most = budget.max_hours * max(first.price_usd_per_h, *(one.max_price_usd_per_h for one in machines))
    if budget.max_usd is not None:
        most = min(most, budget.max_usd)
    community = [one.trust == "community" for one in machines]
    whose = " (community machine)" if community[0] else " (or a community machine)" if any(community) else ""
    return f"rent {first.instance_type}{whose} at ${first.price_usd_per_h:.2f}/h, for at most ${most:.2f}?"


def _line(ctx: Context, stream: TextIO) -> str:
    """Return the next line, hearing signals while nobody types; nothing where the input ends."""
    while not ctx.world.is_readable(stream, LOOK_EVERY_S):
        ctx.stop.check()
    return stream.readline()
