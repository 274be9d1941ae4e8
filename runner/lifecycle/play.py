"""A playbook, run on the machine of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.adapters.ansible import PlaybookRun
from runner.adapters.tools import tools_of
from runner.context import Context


def play(
    ctx: Context, playbook: str, inventory: dict[str, Any], variables: dict[str, Any], tags: Sequence[str] = ()
) -> PlaybookRun:
    """Run one playbook on the run's machine, or the part of it that has one of the tags."""
    return tools_of(ctx.world).run_playbook(
        playbook,
        inventory=inventory,
        environment=ctx.run_file.compute.env,
        variables=variables,
        log=ctx.run.log("configure"),
        world=ctx.world,
        on_progress=ctx.view.progress,
        cancel=ctx.stop.wants_out,
        tags=tags,
    )
