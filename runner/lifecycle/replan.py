"""A run that is resumed is planned anew, and whoever pays is asked anew, before anything of it changes."""

from __future__ import annotations

from typing import Protocol

from runner.context import Context
from runner.lifecycle.step import step
from runner.lifecycle.steps import plan
from runner.report.plan.text import plan_lines
from runner.run.planned import Plan

UNDONE_BY_DESTROY = ("provision", "configure", "stage", "train", "collect", "destroy", "report")


class Consent(Protocol):
    """Who is asked before a machine is rented."""

    def expect(self, ctx: Context) -> None:
        """Refuse to rent where nobody has said yes and nobody can be asked; raises ``UsageError``."""

    def ask(self, ctx: Context, found: Plan) -> None:
        """Ask whether to rent what a plan names; raises ``RunInterruptedError`` unless the answer is yes."""


def check_again(ctx: Context) -> Plan:
    """Check a run anew, for files, machines or prices may have changed since; nothing of it is written yet.

    Raises:
        UsageError: As ``steps.plan.check``, with its other errors.
    """
    status, started = "failed", ctx.world.monotonic_s()
    ctx.view.step_started("preflight")
    try:
        found = plan.check(ctx.run_file, ctx.run.path.parent, ctx.view, ctx.stop, ctx.world)
        ctx.stop.check()
        status = "done"
    finally:
        ctx.view.step_ended("preflight", status, ctx.world.monotonic_s() - started)
    for line in plan_lines(found, bills=ctx.environment.bills):
        ctx.view.line(line)
    return found


def record_again(ctx: Context, found: Plan) -> None:
    """Write down what a new check has found, and make Terraform's plan anew."""
    ctx.state.forget(*UNDONE_BY_DESTROY)
    ctx.run.receipt.unlink()
    if ctx.environment.rents_machine:
        ctx.run.host.unlink()  # that machine is gone, and the next is another one
    step(ctx, "plan", lambda: plan.record(ctx, found))
