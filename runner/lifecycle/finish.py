"""The end of a run: bring home what is there, give the machine up whatever else went wrong, write down how it ended."""

from __future__ import annotations

from dataclasses import dataclass

from runner.adapters.tools import tools_of
from runner.cloud_api.environment import NotThere
from runner.clouds.registry import find_cloud
from runner.context import Context
from runner.errors import (
    NO_ROOM,
    ConnectionLostError,
    NoRoomError,
    RunInterruptedError,
    RunnerError,
    TeardownError,
    ToolError,
    TransferError,
)
from runner.guard.place import living_guard
from runner.lifecycle import guarding, lease, notices
from runner.lifecycle.by_mark import terminate_unread
from runner.lifecycle.left_alone import leave_alone
from runner.lifecycle.standing import has_its_work
from runner.lifecycle.step import step
from runner.lifecycle.steps import collect, destroy, train
from runner.lifecycle.useless import note_useless
from runner.run.models import Host
from runner.run.run_dir import RunDir
from runner.store import run_store as storing

COLLECT_RETRY_S = (2.0, 10.0, 30.0)


@dataclass(frozen=True)
class Outcome:
    """How driving a run ended.

    Attributes:
        run: The run.
        error: What went wrong, or ``None``.
        running: Whether training goes on without us.
    """

    run: RunDir
    error: RunnerError | None = None
    running: bool = False


def finish(ctx: Context, error: RunnerError | None, *, may_stay: bool = False) -> Outcome:
    """Stop the trainer if it runs, collect, destroy, report; the first error is the one that counts.

    Args:
        ctx: The run.
        error: What went wrong so far, or ``None``.
        may_stay: Whether the machine may stay up for a while where the disk here does not take what was made.
    """
    came: list[str] | None = None
    if isinstance(error, RunInterruptedError) and not ctx.stop.urgent:
        ctx.view.line("stopping with a checkpoint; press Ctrl-C again to stop immediately")
    try:
        came = _bring_home(ctx, error)
    except RunnerError as err:
        error = error or err
    except OSError as err:
        if may_stay and (left := left_for_want_of_room(ctx, err)) is not None:
            if error is not None:
                ctx.view.line(error.message)
            return left
        error = error or disk_error(ctx, err)
    except BaseException:  # a defect of ours: it is reported, but the machine goes first
        worst = _give_up_machine(ctx, error, keep_output=True)
        if isinstance(worst, TeardownError):
            raise worst from None
        raise
    error = _give_up_machine(ctx, error, keep_output=came is None)
    if not isinstance(error, TeardownError):
        guarding.let_go(ctx)
    unstored = _write_down(ctx, error, came or [])
    notices.ended(ctx, error or unstored)
    return Outcome(ctx.run, error or unstored)


def _bring_home(ctx: Context, error: RunnerError | None) -> list[str] | None:
    """Stop the trainer if the run did not end well, and collect; return what came, ``None`` if nothing was fetched."""
    if has_its_work(ctx):
        return storing.kept_here(ctx)
    host = ctx.host()
    if host is None:
        return []
    if ctx.stop.urgent and ctx.environment.rents_machine:
        return None  # it goes at once: a machine that hangs would be waited for by whoever renews its lease
    if error is not None:
        with lease.kept(ctx, host):
            train.stop_trainer(ctx, host)
    if ctx.stop.urgent:
        return None
    with lease.kept(ctx, host):
        goes_on = error is not None or host.is_this_machine or ctx.run_file.checkpointing.bring_home
        return step(ctx, "collect", lambda: _collect(ctx, host, with_checkpoints=goes_on))


def _collect(ctx: Context, host: Host, *, with_checkpoints: bool) -> list[str]:
    """Collect; from a rented machine more than once if need be, because what is there goes with it."""
    for pause_s in COLLECT_RETRY_S if ctx.environment.rents_machine else ():
        try:
            return collect.collect(ctx, host, with_checkpoints=with_checkpoints)
        except (ConnectionLostError, TransferError) as err:
            if ctx.stop.urgent:
                raise
            ctx.view.line(f"{err.message}; trying again")
            ctx.stop.wait(pause_s)
    return collect.collect(ctx, host, with_checkpoints=with_checkpoints)


def _give_up_machine(ctx: Context, error: RunnerError | None, *, keep_output: bool) -> RunnerError | None:
    """Destroy, and return the error that counts: that something may still exist is the worst news."""
    note_useless(ctx, error)
    try:
        step(ctx, "destroy", lambda: destroy.destroy(ctx, keep_output=keep_output))
    except TeardownError as err:
        return err
    except OSError as err:  # not a line can be written any more, and the machine must go all the same
        return destroy.without_a_disk(ctx, err)
    except Exception as err:
        if not ctx.environment.bills and not isinstance(err, RunnerError):
            raise
        # Whatever kept destroy from its end (a file that is not what was written, a defect of ours), the machine goes.
        return terminate_unread(ctx.run, ctx.world, ctx.view, err)
    return error


def _write_down(ctx: Context, error: RunnerError | None, came: list[str]) -> RunnerError | None:
    """Store what came home, write how the run ended, report; a disk that is full hides no worse news.

    In this order: whoever comes back to a run whose runner was killed while it stored is not told that it is over.
    """
    try:
        unstored = _store(ctx, came)
        ctx.state.finish(_outcome_word(error), None if error is None else error.message)
        _report(ctx)
    except OSError as err:
        return disk_error(ctx, err)
    return unstored


def _store(ctx: Context, came: list[str]) -> RunnerError | None:
    """Copy to the store what came home, when no machine bills for it any more; a run that is done stays done."""
    try:
        if ctx.stop.urgent and storing.wanted_there(ctx, came):
            raise TransferError(
                "store: Ctrl-C was pressed twice, so what came home was not copied there",
                resolution=f"`make sync RUN={ctx.run.run_id}` copies it from {ctx.run.path}",
            )
        storing.copy_home(ctx, came)
    except RunnerError as err:
        ctx.view.line(f"not stored: {err.message}")
        return err
    return None


def _report(ctx: Context) -> None:
    """Write the report; at a run's end nothing is installed for its page any more."""
    if tools_of(ctx.world).has("pages"):
        from runner.report.run.page import write_report

        step(ctx, "report", lambda: write_report(ctx.run))
        return
    from runner.report.run.document import write_document

    step(ctx, "report", lambda: write_document(ctx.run))
    ctx.view.line(f"there is no page of it yet; make it with `make report RUN={ctx.run.run_id}`")


def left_for_want_of_room(ctx: Context, err: OSError) -> Outcome | None:
    """Leave a machine up that holds what the disk here has no room for, for as long as one that was left on purpose.

    Returns:
        How the run stands; ``None`` where the machine has to go: it trained nothing, nobody would end it later, it does
        not answer, or the user wants an end.
    """
    is_wanted = err.errno in NO_ROOM and not ctx.stop.requested and "train" in ctx.state.steps
    if not is_wanted or not ctx.environment.bills:
        return None
    host, ends_itself = ctx.host(), not isinstance(find_cloud(ctx.environment.name).hard_end, NotThere)
    if host is None or not (ends_itself or living_guard(ctx.run.run_id, ctx.world) is not None):
        return None
    try:
        leave_alone(ctx, host)
    except (RunnerError, OSError):
        return None
    minutes = ctx.run_file.idle_minutes
    error = NoRoomError(
        f"run: {err.filename or ctx.run.path}: {err.strerror or err}; what the run has made is on its machine, which "
        f"stays for {minutes:g} minutes after its training",
        resolution=f"make room, then `make watch RUN={ctx.run.run_id}` brings it home and terminates the machine",
    )
    notices.ended(ctx, error)
    return Outcome(ctx.run, error, running=True)


def disk_error(ctx: Context, err: OSError) -> RunnerError:
    """Return the error to show for a file that cannot be written or read on this machine."""
    return ToolError(
        f"run: {err.filename or ctx.run.path}: {err.strerror or err}",
        resolution=f"make room on the disk, or put right what the path names, then `make resume RUN={ctx.run.run_id}`",
        details=repr(err),
    )


def _outcome_word(error: RunnerError | None) -> str:
    if error is None:
        return "done"
    return "interrupted" if isinstance(error, RunInterruptedError) else "failed"
