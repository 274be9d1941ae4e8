"""What a run has on its cloud by the run's mark, whatever Terraform knows of it."""

from __future__ import annotations

from collections.abc import Callable

from runner.cloud_api.labels import resource_name
from runner.clouds.registry import open_cloud
from runner.context import Context
from runner.errors import RunnerError, TeardownError
from runner.safety.sweep import Leftovers, end_run


def end_by_mark(ctx: Context, *, outcome_unknown: bool, trouble: RunnerError | None = None) -> Leftovers:
    """Terminate everything on the run's own cloud that carries the run's mark, whatever Terraform knows of it.

    Args:
        ctx: The run.
        outcome_unknown: Something was asked for and never answered.
        trouble: What went wrong before, for the details of an error.

    Raises:
        TeardownError: If something is left, or the cloud cannot be read.
    """
    name, run_id = ctx.run_file.compute.env, ctx.run.run_id
    try:
        swept = end_run(
            open_cloud(name, ctx.world),
            run_id,
            outcome_unknown=outcome_unknown,
            wait=_pause(ctx),
            patience_s=ctx.run_file.compute.teardown_timeout_minutes * 60,
        )
    except RunnerError as err:
        raise TeardownError(
            f"destroy: cannot check what run {run_id} still bills on {name}: {err.message}",
            details="\n".join(filter(None, (None if trouble is None else trouble.details, err.details))) or None,
            resolution=f"run `make down RUN={run_id}` again, or look for {resource_name(run_id)} in its console",
        ) from err
    for found in swept.ended:
        ctx.view.line(f"the sweep terminated {found.kind} {found.id}")
    if swept.left:
        raise TeardownError(
            f"destroy: {name} still has {', '.join(f'{found.kind} {found.id}' for found in swept.left)}",
            details=None if trouble is None else trouble.details,
            resolution=f"run `make down RUN={run_id}` again, or terminate {swept.left[0].id} in the cloud's console",
        )
    return swept


def _pause(ctx: Context) -> Callable[[float], None]:
    """Return a wait that says what it waits for."""

    def pause(seconds: float) -> None:
        ctx.view.progress("waiting until the cloud shows nothing of the run")
        ctx.world.sleep(seconds)

    return pause
