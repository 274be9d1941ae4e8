"""Machines that came to nothing are written down, so that the next run tries others before them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from runner.adapters.terraform import STATE_FILE
from runner.context import Context
from runner.errors import Failure, RunnerError
from runner.run.host_words import one_line
from runner.run.journal import Journal
from runner.run.rentals import USELESS
from runner.run.run_dir import read_json
from runner.run.spend import spend_of
from runner.safety.asked import DAMAGE

NOT_ITS_FAULT: tuple[Failure, ...] = ("stopped", "yours")
LONGEST_WHY = 200
"""Characters of a reason."""


def note_useless(ctx: Context, error: RunnerError | None) -> None:
    """Write down that the run's machine is given up before anything trained on it, if that is so and by its fault.

    A folder that cannot be read or written keeps no machine: its end comes next.

    Args:
        ctx: The run, whose machine is there yet.
        error: Why the run goes no further.
    """
    if error is None or error.failure in NOT_ITS_FAULT or not ctx.environment.rents_machine:
        return
    with suppress(*DAMAGE):
        machines = [] if "train" in ctx.state.steps else spend_of(ctx.run).machines[-1:]
        for machine in machines:
            if machine.machine_id is not None and machine.gone_at is None and machine.why_useless is None:
                why = one_line(error.message)[:LONGEST_WHY]
                facts = {"cloud": machine.cloud, "instance_id": machine.machine_id, "why": why}
                Journal(ctx.run).answer(USELESS, **facts, **_identity(ctx, machine.machine_id))


def _identity(ctx: Context, machine_id: str) -> dict[str, Any]:
    """Return which machine it is, by what was handed out, else by Terraform's state; nothing where neither says."""
    host = ctx.host()
    if host is not None and host.instance_id == machine_id:
        return {"instance_type": host.instance_type, "region": host.region, "spot": host.spot}
    state = read_json(ctx.run.terraform / STATE_FILE) or {}
    known = [made["attributes"] for one in state.get("resources", ()) for made in one.get("instances", ())]
    for values in known:
        if values.get("id") == machine_id and values.get("instance_type"):
            region = values.get("region") or str(values.get("availability_zone") or "")[:-1]
            return {"instance_type": values["instance_type"], "region": region, "spot": bool(values.get("spot"))}
    return {}
