"""How the training of a run ended: by itself, by its user, or because its machine goes."""

from __future__ import annotations

from runner.adapters.machine import Machine
from runner.context import Context
from runner.errors import (
    MachineLostError,
    RunInterruptedError,
    RunnerError,
    TrainerLostError,
    TrainingFailedError,
)
from runner.lifecycle import lease
from runner.run.events import read_event
from runner.run.host_words import one_line
from runner.run.models import Host, TrainerStatus
from trainer.errors import EXIT_DONE, EXIT_INTERRUPTED

SIGNALLED = 128
"""A process that a signal ended is reported as this plus the signal's number."""
LONGEST_WORDS = 2000


def error_of(ctx: Context, host: Host, machine: Machine, status: TrainerStatus) -> RunnerError | None:
    """Return the error for how a trainer ended, ``None`` where it ended well.

    Args:
        ctx: The run, whose events are here up to the trainer's last one.
        host: Its machine.
        machine: The same, to be asked whether it was what stopped the trainer.
        status: How the trainer ended.

    Raises:
        ConnectionLostError: If the machine cannot be reached.
    """
    if status.exit_code != EXIT_DONE and is_reclaimed(ctx):  # it may be gone before it has answered anything
        return MachineLostError(
            f"train: {host.cloud} takes machine {host.instance_id} back; the trainer ended at step {status.step or 0}",
            resolution=from_newest(ctx),
        )
    over = lease.why_over(ctx, host, machine) if _was_stopped(status) else None
    return _error_by_lease(ctx, host, status, over) or _error_by_itself(ctx, status)


def from_newest(ctx: Context) -> str:
    """Return how to go on from the newest checkpoint."""
    return f"continue from its newest checkpoint with `make resume RUN={ctx.run.run_id}`"


def with_more(ctx: Context) -> str:
    """Return how to go on where the run's hours or dollars are over."""
    return (
        f"continue with `make resume RUN={ctx.run.run_id}`, with SET=budget.max_hours=… or SET=budget.max_usd=… "
        "where that is the limit"
    )


def _error_by_lease(ctx: Context, host: Host, status: TrainerStatus, over: str | None) -> RunnerError | None:
    """Return the error where the machine itself has stopped the trainer; ``over`` is why its lease is."""
    if over == "not_renewed":
        return MachineLostError(
            f"train: machine {host.instance_id} had no word from here for {ctx.run_file.budget.lease_minutes:g} min; "
            f"it has stopped the trainer at step {status.step or 0}",
            resolution=from_newest(ctx),
        )
    if over == "hard_end":
        return RunInterruptedError(
            f"train: machine {host.instance_id} is at its hard end; it has stopped the trainer at step "
            f"{status.step or 0}",
            resolution=with_more(ctx),
        )
    return None


def _error_by_itself(ctx: Context, status: TrainerStatus) -> RunnerError | None:
    """Return the error for how the trainer ended, ``None`` where it ended well."""
    if status.state == "lost":
        return TrainerLostError(
            f"train: the trainer was killed at step {status.step or 0} (no exit status, no last words)",
            resolution=from_newest(ctx),
        )
    if status.exit_code == EXIT_DONE:
        return None
    message, resolution = last_words(ctx)
    if message is None and (status.exit_code or 0) > SIGNALLED:
        return TrainerLostError(
            f"train: the trainer was killed by signal {(status.exit_code or 0) - SIGNALLED} at step {status.step or 0}",
            resolution=from_newest(ctx),
        )
    if status.exit_code == EXIT_INTERRUPTED:
        return RunInterruptedError(
            f"train: interrupted at step {status.step or 0}: {message or 'the trainer was asked to stop'}",
            resolution=f"continue with `make resume RUN={ctx.run.run_id}`",
        )
    return TrainingFailedError(
        message or f"train: the trainer ended with exit status {status.exit_code}",
        resolution=resolution or f"see {ctx.run.run_id}/logs/trainer.log",
    )


def _was_stopped(status: TrainerStatus) -> bool:
    """Return whether a trainer was asked to stop or was killed, and did not end by itself."""
    return status.state == "lost" or status.exit_code == EXIT_INTERRUPTED or (status.exit_code or 0) > SIGNALLED


def last_words(ctx: Context) -> tuple[str | None, str | None]:
    """Return message and resolution of the last try's ``run_ended`` event; nothing when it was cut short."""
    for line in reversed(ctx.run.events.read_or_nothing().split(b"\n")):
        event = read_event(line) or {}
        if event.get("event") == "run_ended":
            return _words(event.get("message")), _words(event.get("resolution"))
        if event.get("event") == "run_started":
            break
    return None, None


def is_reclaimed(ctx: Context) -> bool:
    """Return whether the last try's events say that the cloud takes its machine back."""
    for line in reversed(ctx.run.events.read_or_nothing().split(b"\n")):
        event = read_event(line) or {}
        if event.get("event") == "reclaimed":
            return True
        if event.get("event") == "phase_started" and event.get("phase") == "data":  # a try begins with it
            break
    return False


def _words(text: str | None) -> str | None:
    return None if text is None else one_line(text)[:LONGEST_WORDS]
