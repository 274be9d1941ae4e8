"""A machine that is left up on purpose: its lease is held, and a person reads what it costs and when it ends."""

from __future__ import annotations

from datetime import timedelta

from runner.cloud_api.environment import SET_UP_S, NotThere
from runner.clouds.registry import find_cloud
from runner.context import Context
from runner.errors import MachineLostError
from runner.lifecycle import lease
from runner.lifecycle.terraform_inputs import rented_until, seconds_to_hard_end
from runner.run.models import Host
from runner.safety.lease_word import word_or_noted


def leave_alone(ctx: Context, host: Host) -> None:
    """Let a rented machine go on without a runner, and say what is up, what it costs and when it ends.

    Raises:
        ConnectionLostError: If the machine cannot be reached; what is up, and for how long, is said all the same.
        MachineLostError: If its lease is over already; what is up is said all the same.
    """
    try:
        lease.say_hold(ctx, host)
    except MachineLostError:
        _say_what_stays(ctx, host, "its lease is over, and it trains no more")
        raise
    except Exception:
        minutes = ctx.run_file.budget.lease_minutes
        _say_what_stays(ctx, host, f"it does not hear that its runner goes, and its lease ends within {minutes:g} min")
        raise
    say_what_is_up(ctx, host, has_lease=True)


def say_what_is_up(ctx: Context, host: Host, *, has_lease: bool) -> None:
    """Say which machine is up, what it costs an hour, and when it ends; nothing of one that was given.

    Args:
        ctx: The run.
        host: Its machine.
        has_lease: Whether the machine keeps a lease yet, by which it may end itself earlier.
    """
    if not ctx.environment.bills:
        return
    ends = ctx.world.now() + timedelta(seconds=seconds_to_hard_end(ctx))
    record, compute = find_cloud(ctx.environment.name), ctx.run_file.compute
    ctx.view.line(f"left up      {_what_bills(host)}, until {ends:%Y-%m-%d %H:%M} UTC at the latest{_keeper(ctx)}")
    if not has_lease and not isinstance(record.boot_lease, NotThere) and not record.boot_lease(compute.image):
        ctx.view.line(
            f"             it shuts down {compute.boot_timeout_minutes + SET_UP_S / 60:g} min after its boot, unless "
            f"`make configure RUN={ctx.run.run_id}` ran"
        )
    if has_lease and ctx.environment.lease != "none":
        ctx.view.line(
            f"             it shuts down when nothing has trained for {ctx.run_file.idle_minutes:g} min "
            "(budget.keep_idle_minutes); what is not home or in a store by then is lost"
        )


def say_how_it_stands(ctx: Context, host: Host) -> None:
    """Say which machine is up after a look at a run that no runner drives, and for how long.

    One whose runner is gone was not left up on purpose: it has the rest of its lease, and nothing else was promised.
    """
    last = word_or_noted(ctx.run)
    if last is None or last[0] != "renew":
        say_what_is_up(ctx, host, has_lease=last is not None)
        return
    if not ctx.environment.bills:
        return
    lease_ends, hard_end = last[1] + timedelta(minutes=ctx.run_file.budget.lease_minutes), rented_until(ctx)
    ends = lease_ends if hard_end is None else min(lease_ends, hard_end)
    ctx.view.line(
        f"still up     {_what_bills(host)}: its runner is gone, and its lease "
        f"{'ends' if ends > ctx.world.now() else 'ended'} at {ends:%Y-%m-%d %H:%M} UTC{_keeper(ctx)}"
    )
    ctx.view.line(f"             `make watch RUN={ctx.run.run_id}` renews it and follows the run")


def _say_what_stays(ctx: Context, host: Host, why: str) -> None:
    """Say which machine is up that does not go on without a runner, and why not."""
    if ctx.environment.bills:
        ctx.view.line(f"still up     {_what_bills(host)}: {why}{_keeper(ctx)}")


def _what_bills(host: Host) -> str:
    return f"{host.instance_type} {host.instance_id} at ${host.price_usd_per_h:.2f}/h"


def _keeper(ctx: Context) -> str:
    """Return who has to terminate the machine where the cloud does not; nothing where it does."""
    record = find_cloud(ctx.environment.name)
    if not isinstance(record.hard_end, NotThere):
        return ""
    who = "this computer or a sweep" if ctx.run_file.budget.guard else "a sweep"
    return f", if {who} terminates it: {record.title} itself does not"
