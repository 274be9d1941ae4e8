"""What a run has on its clouds by the run's mark, whatever Terraform or the run's folder knows of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

from runner.cloud_api.labels import resource_name
from runner.cloud_api.models import Resource
from runner.clouds.registry import CLOUDS, accounts, open_cloud
from runner.context import Context
from runner.errors import AccountError, NoReceiptError, RunnerError, TeardownError, ToolError
from runner.guard.place import end_guard
from runner.run.models import View
from runner.run.run_dir import RunDir
from runner.safety.account_sweep import reason_of
from runner.safety.asked import clouds_asked, environment_of
from runner.safety.looks import Looks
from runner.safety.patience import patience_of
from runner.safety.proof import is_surely_the_account, is_the_account
from runner.safety.terminate import Terminated, of_run, terminate_run
from runner.world import World

SILENT_S = 30.0
"""After so long a wait a line says what is waited for: a log file shows nothing of what passes."""
HURRY_S = 20.0
"""How long a cloud has to show that nothing is left, once the user has pressed Ctrl-C twice."""


def end_by_mark(
    ctx: Context, *, outcome_unknown: bool, trouble: RunnerError | None = None, looks: Looks | None = None
) -> Terminated:
    """Terminate everything on the run's own cloud that carries the run's mark, whatever Terraform knows of it.

    Args:
        ctx: The run.
        outcome_unknown: Something was asked for and never answered.
        trouble: What went wrong before, for the details of an error.
        looks: Who has looked at this account before, if somebody has.

    Raises:
        TeardownError: If something is left, or the cloud cannot be read.
    """
    name, run_id = ctx.run_file.compute.env, ctx.run.run_id
    try:
        patience = patience_of(ctx.world.environ)
        cloud = open_cloud(name, ctx.world)
        seen = terminate_run(
            cloud,
            run_id,
            outcome_unknown=outcome_unknown,
            wait=_pause(ctx),
            patience=replace(patience, longest_s=ctx.run_file.compute.teardown_timeout_minutes * 60),
            look=(looks or Looks(ctx.run, cloud)).look,
        )
    except RunnerError as err:
        raise TeardownError(
            f"destroy: cannot check what run {run_id} still bills on {name}: {err.message}",
            details="\n".join(filter(None, (None if trouble is None else trouble.details, err.details))) or None,
            resolution=f"{_first(err)}run `make down RUN={run_id}` again, or look for {resource_name(run_id)} in its "
            "console",
        ) from err
    for found in seen.ended:
        ctx.view.line(f"the sweep terminated {found.kind} {found.id}")
    if seen.is_proved:
        return seen
    problems = seen.problems(name)
    by_hand = f"terminate {seen.left[0].id}" if seen.left else f"look for {resource_name(run_id)}"
    raise TeardownError(
        f"destroy: {problems[0]}",
        details="\n".join(filter(None, (None if trouble is None else trouble.details, *problems))),
        resolution=f"run `make down RUN={run_id}` again, or {by_hand} in the cloud's console",
    )


def _first(err: RunnerError) -> str:
    """Return what has to be done before anything is tried again: a key that is missing or bad stays so."""
    return f"{err.resolution}; then " if isinstance(err, AccountError) else ""


def is_account_proved(ctx: Context) -> bool:
    """Return whether the account here is the one that the run was rented with: by its key, or by what it shows."""
    try:
        return _is_account_known(ctx)
    except RunnerError:
        return False  # who terminates says why the account cannot be read


def _is_account_known(ctx: Context) -> bool:
    """Return the same; raises as the account does that cannot be opened or read."""
    cloud = open_cloud(ctx.run_file.compute.env, ctx.world)
    return is_the_account(ctx.run, cloud) or bool(of_run(cloud, ctx.run.run_id).resources)


def may_be_the_account(ctx: Context) -> bool:
    """Return whether the account here may be the one that the run was rented with: only one that is not is ruled out.

    A key that differs has to show something of the run; where the account has to be asked whose it is, and does not
    answer, it may be the right one.
    """
    try:
        cloud = open_cloud(ctx.run_file.compute.env, ctx.world)
        if is_the_account(ctx.run, cloud):
            return True
    except AccountError:
        return False
    except RunnerError:
        return True
    return is_account_proved(ctx)


def refuse_other_account(ctx: Context, doing: str) -> None:
    """Refuse to go on with a run's machine under an account that could not prove its end.

    One that does not answer may be the right one: the end of the run asks it again.

    Args:
        ctx: The run, whose machine is up.
        doing: The verb, for the error.

    Raises:
        TeardownError: If the account is another one, or there is no key: the machine bills, and stays.
    """
    if not ctx.environment.bills:
        return
    run_id = ctx.run.run_id
    try:
        is_known = _is_account_known(ctx)
    except AccountError as err:
        raise TeardownError(
            f"{doing}: the machine of run {run_id} bills, and could not be terminated in the end: {err.message}",
            details=err.details,
            resolution=f"{err.resolution}, then repeat the command",
        ) from err
    except RunnerError:
        return
    if not is_known:
        raise other_account(ctx, doing)


def other_account(ctx: Context, doing: str = "destroy") -> TeardownError:
    """Return the error for an account that shows nothing of a run and was not proved to be the run's own."""
    name, run_id = ctx.run_file.compute.env, ctx.run.run_id
    return TeardownError(
        f"{doing}: this {name} account shows nothing of run {run_id}, which was rented with another key",
        resolution=f"set {CLOUDS[name].account_words} of that account, then run `make down RUN={run_id}` again; "
        f"if nobody has it any more, `make down RUN={run_id} CLOSE=1` closes the run",
    )


def terminate_unread(run: RunDir, world: World, view: View, cause: Exception) -> RunnerError:
    """Terminate what carries the mark of a run whose folder cannot be read; return the error to show.

    Args:
        run: The run; nothing of its folder is needed.
        world: Time, chance and surroundings.
        view: Who looks on.
        cause: What reading the folder said.

    Returns:
        The cause itself where no cloud was ever asked for a machine, a ``TeardownError`` where something may be left,
        else a ``NoReceiptError``: the listings show nothing, and there is no receipt.
    """
    names = _may_have_rented_on(run)
    if not names:
        return cause if isinstance(cause, RunnerError) else _unexpected(run, cause)
    known = accounts(world)
    problems = [f"{name} was not asked: {why}" for name, why in sorted(known.closed.items()) if name in names]
    ended: list[Resource] = []
    for cloud in (cloud for cloud in known.opened if cloud.name in names):
        try:
            seen = terminate_run(
                cloud, run.run_id, outcome_unknown=True, wait=world.sleep, patience=patience_of(world.environ)
            )
        except Exception as err:  # noqa: BLE001 - whatever one client raises, the other clouds are asked
            problems.append(f"{cloud.name} could not be read: {reason_of(err)}")
            continue
        ended += seen.ended
        if not (seen.ended or is_surely_the_account(run, cloud)):
            problems.append(f"this {cloud.name} account shows nothing of it, and may be another than the run's")
        problems += seen.problems(cloud.name)
    for found in ended:
        view.line(f"terminated {found.kind} {found.id} on {found.cloud}")
    why = f"the folder of run {run.run_id} cannot be used ({cause})"
    if problems:
        keys = " and ".join(CLOUDS[name].account_words for name in sorted(names))
        return TeardownError(
            f"down: {why}, and {'; '.join(problems)}",
            details="\n".join(problems),
            resolution=f"set {keys}, then run `make down RUN={run.run_id}` again, or look in the consoles",
        )
    with contextlib.suppress(RunnerError, OSError):  # one that does not end finds nothing to terminate, and ends then
        end_guard(run.run_id, world)
    return NoReceiptError(
        f"down: {why}; its cloud's own listing shows nothing of it on {' and '.join(sorted(names))}",
        resolution=f"there is no receipt; what came home is in {run.path}",
    )


def _may_have_rented_on(run: RunDir) -> set[str]:
    """Return the clouds that a run may have asked for a machine: all of them, where nothing says which."""
    asked, environment = clouds_asked(run), environment_of(run)
    if not asked and environment is None:
        return set(CLOUDS)
    return ((asked or set()) | {environment or ""}) & set(CLOUDS)


def _unexpected(run: RunDir, cause: Exception) -> RunnerError:
    return ToolError(
        f"down: {type(cause).__name__}: {cause}",
        resolution=f"see {run.path}, then run `make down RUN={run.run_id}` again",
    )


def _pause(ctx: Context) -> Callable[[float], None]:
    """Return a wait that says what it waits for.

    Termination is requested before the first wait. A user who has lost patience gets the last word of it soon: what is
    still there, in status 3.
    """
    has_lost_patience, last_s = ctx.stop.impatience(), None
    said_at_s: float | None = ctx.world.monotonic_s() + SILENT_S

    def pause(seconds: float) -> None:
        nonlocal last_s, said_at_s
        ctx.view.progress("waiting until the cloud shows nothing of the run")
        if said_at_s is not None and ctx.world.monotonic_s() >= said_at_s:
            most_min, said_at_s = ctx.run_file.compute.teardown_timeout_minutes, None
            ctx.view.line(
                f"still waiting until {ctx.environment.name} shows nothing of the run, {most_min:g} min at most"
            )
        until_s = ctx.world.monotonic_s() + seconds
        while (left_s := until_s - ctx.world.monotonic_s()) > 0:
            ctx.world.sleep(min(left_s, 1.0))
            if has_lost_patience():
                last_s = last_s or ctx.world.monotonic_s() + HURRY_S
                if ctx.world.monotonic_s() >= last_s:
                    raise _stopped(ctx)

    return pause


def _stopped(ctx: Context) -> TeardownError:
    return TeardownError(
        "stopped on request, before the cloud showed that nothing is left",
        resolution=f"run `make down RUN={ctx.run.run_id}` again",
    )
