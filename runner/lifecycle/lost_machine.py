"""Whether the cloud still has the machine of a run that does not answer."""

from __future__ import annotations

from runner.clouds.registry import open_cloud
from runner.context import Context
from runner.errors import CloudError
from runner.safety.looks import Looks


def machine_gone(ctx: Context) -> str | None:
    """Ask the cloud whether the run's rented machine is gone for good; return words for that, or ``None``."""
    host = ctx.host()
    if host is None or not ctx.environment.rents_machine:
        return None
    try:
        listing = Looks(ctx.run, open_cloud(host.cloud, ctx.world)).look()
    except CloudError:
        return None  # nobody knows; the machine may be there
    mine = [found for found in listing.resources if found.kind == "instance" and found.id == host.instance_id]
    if not mine and listing.unread:
        return None
    if not mine:
        return f"machine {host.instance_id} no longer exists on {host.cloud} (reclaimed, or terminated by someone else)"
    if mine[0].status in ("stopped", "ending"):
        return f"{host.cloud} says that machine {host.instance_id} is {mine[0].status}"
    return None
