"""How the training of a run stands, by its machine or, where that does not answer, by its cloud."""

from __future__ import annotations

from runner.adapters.supervisor import read_status
from runner.context import Context
from runner.errors import ConnectionLostError, HostKeyError, RunnerError, UsageError
from runner.lifecycle.lost_machine import machine_gone
from runner.run.journal import Journal
from runner.run.models import TrainerStatus


def trainer_status(ctx: Context) -> TrainerStatus:
    """Ask the machine how training stands; no machine, no trainer."""
    host = ctx.host_up()
    if host is None:
        return TrainerStatus("none")
    machine = ctx.machine(host)
    try:
        return read_status(machine, ctx.box(host, machine))
    finally:
        machine.close()


def status_to_watch(ctx: Context) -> TrainerStatus:
    """Ask the machine how training stands; where it does not answer, ask its cloud whether it is still there."""
    try:
        return trainer_status(ctx)
    except (ConnectionLostError, HostKeyError) as err:
        gone = machine_gone(ctx)
        if gone is None:
            raise
        raise UsageError(
            f"watch: {gone}",
            resolution=f"continue on a new one with `make resume RUN={ctx.run.run_id}`, "
            f"or remove the rest with `make down RUN={ctx.run.run_id}`",
        ) from err


def status_or_none(ctx: Context) -> TrainerStatus:
    """Ask a machine how training stands; a rented one that does not answer, or not sense, is lost, and taken down."""
    try:
        return trainer_status(ctx)
    except RunnerError as err:
        if not ctx.environment.rents_machine:
            raise
        ctx.view.line(f"{err.message}; terminating it unchecked")
        return TrainerStatus("none")


def has_its_work(ctx: Context) -> bool:
    """Return whether training ended well and what it made is here: all that is left is to end what bills."""
    return ctx.state.is_done("train") and ctx.state.is_done("collect")


def needs_no_training(status: TrainerStatus) -> bool:
    """Return whether the trainer runs, or has ended well and only its work is to be fetched."""
    return status.state == "running" or (status.state == "exited" and status.exit_code == 0)


def refuse_ending(ctx: Context) -> None:
    """Refuse a rented machine that was being terminated when its runner ended: what would begin there is cut off.

    Raises:
        UsageError: If nobody has written down how that ended.
    """
    if ctx.environment.rents_machine and Journal(ctx.run).unanswered("destroy"):
        raise UsageError(
            f"run: the machine of {ctx.run.run_id} was being terminated when its runner ended",
            resolution=f"finish that with `make down RUN={ctx.run.run_id}`, or go on with another one: "
            f"`make resume RUN={ctx.run.run_id}`",
        )
