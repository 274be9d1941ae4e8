"""Train: start the trainer detached from us, follow its events, learn how it ended."""

from __future__ import annotations

import math
from collections.abc import Callable

from runner.adapters.machine import Machine
from runner.adapters.process import ToolCancelledError
from runner.adapters.secrets import put_secrets
from runner.adapters.supervisor import OWN_MODULES, ask_supervisor, read_status
from runner.context import Context
from runner.errors import (
    ConnectionLostError,
    MachineLostError,
    RunInterruptedError,
    TrainerLostError,
    TrainingFailedError,
)
from runner.lifecycle import lease, notices
from runner.lifecycle.event_copy import EventCopy
from runner.lifecycle.lost_machine import machine_gone
from runner.lifecycle.near_limit import NearLimit
from runner.lifecycle.time_limit import hours_to_follow, hours_to_train
from runner.planning.checks.hub_token import hub_variables
from runner.run.events import read_event
from runner.run.host_words import one_line
from runner.run.models import Box, Host, TrainerStatus
from runner.store import arming
from trainer.errors import EXIT_DONE, EXIT_INTERRUPTED

START_S = 120.0
POLL_S, LONGEST_POLL_S = 0.5, 4.0
"""Pause between two looks at the events: the first one while they come, twice as long after each look without any."""
STATUS_EVERY_S = 15.0
"""Asking the supervisor starts an interpreter there; between two questions its files are enough."""
PATIENCE_S = 1800.0
"""How long to try to reach a machine again before giving up; training goes on there meanwhile."""
RETRY_S = (1.0, 2.0, 5.0, 10.0, 20.0)
SIGNALLED = 128
"""A process that a signal ended is reported as this plus the signal's number."""
STOP_S = 180.0
"""How long the trainer may take to save and stop."""
LONGEST_WORDS = 2000


def launch(ctx: Context, host: Host, *, resume: bool) -> None:
    """Start the trainer on the machine, in a session of its own; one that runs already is left alone.

    Raises:
        TrainingFailedError: If it did not come up.
    """
    machine = ctx.machine(host)
    try:
        box = ctx.box(host, machine)
        if read_status(machine, box).state == "running":
            ctx.view.line("the trainer runs already")
            return
        if not machine.exists(box.python):
            raise TrainingFailedError(
                f"train: {machine.name} is not set up: it has no {box.python}",
                resolution=f"`make configure RUN={ctx.run.run_id}` sets it up, `make resume` does that and goes on",
            )
        machine.remove_tree(f"{box.output}/exit.json")
        argv = [box.python, "-m", "trainer", "supervise", "start", "--config", box.recipe, "--output", box.output]
        if (order := arming.order_there(ctx, box)) is not None:
            argv += ["--store", order]
        limit_h = hours_to_train(ctx)
        argv += [*(["--resume"] if resume else []), *(["--max-hours", str(limit_h)] if math.isfinite(limit_h) else [])]
        # On this machine the supervisor hands the user's own on.
        secrets = {} if host.is_this_machine else hub_variables(ctx.run_file, ctx.world)
        if secrets:
            argv += ["--secrets", put_secrets(ctx.world, machine, ctx.run.run_id, box.input, secrets)]
        if host.spot and ctx.environment.metadata_url is not None:
            argv += ["--metadata-url", ctx.environment.metadata_url]
        done = machine.run(argv, timeout_s=START_S, env=OWN_MODULES, cancel=lambda: ctx.stop.urgent)
        if done.exit_code != 0:
            raise TrainingFailedError(
                f"train: the trainer did not start on {machine.name}",
                details=done.last_words,
                resolution=f"see {box.output}/trainer.log there, then `make resume RUN={ctx.run.run_id}`",
            )
    finally:
        machine.close()


def stop_trainer(ctx: Context, host: Host) -> TrainerStatus:
    """Stop the trainer: orderly with a checkpoint, or at once when the user has no patience. Repeatable.

    A rented machine goes at once with its trainer when the user has no patience: nothing is asked of it any more.
    """
    if ctx.stop.urgent and ctx.environment.rents_machine:
        return TrainerStatus("none")
    machine = ctx.machine(host)
    try:
        box = ctx.box(host, machine)
        urgent = lambda: ctx.stop.urgent  # noqa: E731
        if not ctx.stop.urgent:
            try:
                return ask_supervisor(
                    machine, box, ["stop", "--timeout-s", str(STOP_S)], timeout_s=STOP_S + 60, cancel=urgent
                )
            except ToolCancelledError:
                ctx.view.line("stopping immediately")
                if ctx.environment.rents_machine:
                    return TrainerStatus("none")
        return ask_supervisor(machine, box, ["stop", "--now"], timeout_s=60.0, cancel=None)
    finally:
        machine.close()


def follow(ctx: Context, host: Host, *, on_saved: Callable[[], None] = lambda: None) -> None:
    """Copy the trainer's events home and show them until it ends well.

    Args:
        ctx: The run.
        host: Its machine.
        on_saved: Called when an event says that a checkpoint has been saved there.

    Raises:
        TrainingFailedError: If it ended with an error.
        TrainerLostError: If it was killed.
        MachineLostError: If the cloud takes the machine back, or has taken it, or it ends itself for want of a word.
        RunInterruptedError: If it was stopped, the user wants it to be, or the run's time is over.
        ConnectionLostError: If the machine stays out of reach.
    """
    machine = ctx.machine(host)
    try:
        status = _Follower(ctx, machine, on_saved).until_end()
        ran_out = _was_stopped(status) and lease.ran_out(ctx, host, machine)
    finally:
        machine.close()
    if status.exit_code != EXIT_DONE and is_reclaimed(ctx):
        raise MachineLostError(
            f"train: {host.cloud} takes machine {host.instance_id} back; the trainer ended at step {status.step or 0}",
            resolution=f"continue from its newest checkpoint with `make resume RUN={ctx.run.run_id}`",
        )
    if ran_out:
        raise MachineLostError(
            f"train: machine {host.instance_id} had no word from here for {ctx.run_file.budget.lease_minutes:g} min; "
            f"it has stopped the trainer at step {status.step or 0}",
            resolution=f"continue from its newest checkpoint with `make resume RUN={ctx.run.run_id}`",
        )
    if status.state == "lost":
        raise TrainerLostError(
            f"train: the trainer was killed at step {status.step or 0} (no exit status, no last words)",
            resolution=f"continue from its newest checkpoint with `make resume RUN={ctx.run.run_id}`",
        )
    if status.exit_code == EXIT_DONE:
        return
    message, resolution = last_words(ctx)
    if message is None and (status.exit_code or 0) > SIGNALLED:
        raise TrainerLostError(
            f"train: the trainer was killed by signal {(status.exit_code or 0) - SIGNALLED} at step {status.step or 0}",
            resolution=f"continue from its newest checkpoint with `make resume RUN={ctx.run.run_id}`",
        )
    if status.exit_code == EXIT_INTERRUPTED:
        raise RunInterruptedError(
            f"train: interrupted at step {status.step or 0}: {message or 'the trainer was asked to stop'}",
            resolution=f"continue with `make resume RUN={ctx.run.run_id}`",
        )
    raise TrainingFailedError(
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


class _Follower:
    """Shows the events as they come, until the trainer has ended, the user wants out, or the run's time is over."""

    def __init__(self, ctx: Context, machine: Machine, on_saved: Callable[[], None]) -> None:
        self._ctx, self._machine, self._on_saved = ctx, machine, on_saved
        self._box: Box | None = None
        self._copy, self._limit = EventCopy(ctx, machine), NearLimit(ctx)
        self._pause_s = POLL_S
        self._asked = self._ctx.world.monotonic_s()
        self._deadline_s = self._asked + hours_to_follow(ctx) * 3600

    def until_end(self) -> TrainerStatus:
        try:
            return self._until_end()
        finally:
            self._copy.say_skipped()

    def _until_end(self) -> TrainerStatus:
        failures, lost_since = 0, 0.0
        while True:
            self._go_on()
            try:
                ended = self._look()
                if failures:
                    self._ctx.view.line("connected again")
                failures = 0
            except ConnectionLostError as err:
                lost_since = lost_since if failures else self._ctx.world.monotonic_s()
                if self._ctx.world.monotonic_s() - lost_since > PATIENCE_S:
                    raise
                if failures and (gone := machine_gone(self._ctx)) is not None:
                    raise MachineLostError(
                        f"train: {gone}",
                        resolution=f"continue from its newest checkpoint with `make resume RUN={self._ctx.run.run_id}`",
                    ) from err
                if not failures:
                    self._ctx.view.line(f"{err.message}; training continues there, trying again")
                self._ctx.stop.wait(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1
                continue
            if ended is not None:
                return ended
            self._ctx.stop.wait(self._pause_s)

    def _go_on(self) -> None:
        """Raise once the user wants out or the run's time is over; the machine has no say in either."""
        self._ctx.stop.check()
        if self._ctx.world.monotonic_s() > self._deadline_s:
            raise RunInterruptedError(
                "train: the time of the run is over (its hours, or what its money pays for), and its trainer goes on",
                resolution=f"continue with `make resume RUN={self._ctx.run.run_id}`, with SET=budget.max_hours=… or "
                "SET=budget.max_usd=… where that is the limit",
            )

    def _look(self) -> TrainerStatus | None:
        """Read what is new; return how training ended, once it has."""
        if self._box is None and (host := self._ctx.host()) is not None:
            self._box = self._ctx.box(host, self._machine)
        box = self._box or Box("")
        has_ended = self._machine.read_from(f"{box.output}/exit.json", 0) != b""  # before the events: none is missed
        self._pause_s = POLL_S if self._show_new(box) else min(2 * self._pause_s, LONGEST_POLL_S)
        due = self._ctx.world.monotonic_s() - self._asked > STATUS_EVERY_S
        if not has_ended and not due:
            return None
        self._asked = self._ctx.world.monotonic_s()
        self._limit.look()
        status = read_status(self._machine, box, cancel=self._ctx.stop.wants_out)
        return None if status.state == "running" else self._final(box, status)

    def _final(self, box: Box, status: TrainerStatus) -> TrainerStatus:
        while self._show_new(box):
            self._go_on()
        return status

    def _show_new(self, box: Box) -> bool:
        """Show what one look brings; return whether there was something."""
        events = self._copy.look(box)
        for event in events or ():
            self._ctx.view.event(event)
            self._limit.seen(event)
            notices.seen(self._ctx, event)
            if event.get("event") == "checkpoint_saved":
                self._on_saved()
        return events is not None
