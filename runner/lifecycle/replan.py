"""A run that is resumed is planned anew, and whoever pays is asked anew, before anything of it changes."""

from __future__ import annotations

from typing import Protocol

from runner.context import Context
from runner.errors import UsageError
from runner.lifecycle.lost_lines import note_lost_lines
from runner.lifecycle.step import step
from runner.lifecycle.steps import plan
from runner.planning.ends import Used
from runner.report.plan.text import plan_lines
from runner.run.planned import Plan
from runner.run.spend import spend_of
from runner.safety.lease_word import LEASE_NAME

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
        UsageError: If the run's machines have used up its hours or its money; as ``steps.plan.check``, with its other
            errors.
    """
    _refuse_spent(ctx)
    status, started = "failed", ctx.world.monotonic_s()
    ctx.view.step_started("preflight")
    try:
        folder, known_hosts = ctx.run.path.parent, ctx.run.known_hosts
        found = plan.checker(ctx.world)(
            ctx.run_file, folder, ctx.view, ctx.stop, ctx.world, known_hosts=known_hosts, used=_used(ctx)
        )
        ctx.stop.check()
        status = "done"
    finally:
        ctx.view.step_ended("preflight", status, ctx.world.monotonic_s() - started)
    for line in plan_lines(found, bills=ctx.environment.bills):
        ctx.view.line(line)
    return found


def _refuse_spent(ctx: Context) -> None:
    """Refuse to rent for a run that may not go on: its limits are for all its tries together."""
    if not ctx.environment.bills:
        return
    budget, spend, again = ctx.run_file.budget, spend_of(ctx.run), f"`make resume RUN={ctx.run.run_id} SET=budget."
    if budget.max_usd is not None and spend.known_usd >= budget.max_usd:
        raise UsageError(
            f"resume: the run's machines may have cost ${spend.known_usd:.2f}, "
            f"and budget.max_usd is {budget.max_usd:g}",
            resolution=f"raise it for all tries together: {again}max_usd=<dollars>`",
        )
    if budget.max_hours is not None and spend.earlier_h >= budget.max_hours:
        raise UsageError(
            f"resume: the run has had machines for {spend.earlier_h:.1f} h, "
            f"and budget.max_hours is {budget.max_hours:g}",
            resolution=f"raise it for all tries together: {again}max_hours=<hours>`",
        )


def _used(ctx: Context) -> Used:
    """Return what the run's machines have used of its budget."""
    spend = spend_of(ctx.run)
    return Used(spend.known_usd, spend.earlier_h)


def record_again(ctx: Context, found: Plan) -> None:
    """Write down what a new check has found, and make Terraform's plan anew."""
    note_lost_lines(ctx)
    ctx.state.forget(*UNDONE_BY_DESTROY)
    ctx.run.receipt.unlink()
    if ctx.environment.rents_machine:
        ctx.run.host.unlink()  # that machine is gone, and the next is another one
        ctx.run.file(LEASE_NAME).unlink()  # so is its lease: by that word a sweep would terminate the next one
    step(ctx, "plan", lambda: plan.record(ctx, found))
