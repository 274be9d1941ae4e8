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
    TrainingFailedError,
)
from runner.lifecycle import notices
from runner.lifecycle.event_copy import EventCopy
from runner.lifecycle.lost_machine import machine_gone
from runner.lifecycle.near_limit import NearLimit
from runner.lifecycle.time_limit import hours_to_follow, hours_to_train
from runner.lifecycle.training_end import error_of, from_newest, with_more
from runner.planning.checks.hub_token import hub_variables
from runner.run.models import Box, Host, TrainerStatus
from runner.store import arming

START_S = 120.0
POLL_S, LONGEST_POLL_S = 0.5, 4.0
"""Pause between two looks at the events: the first one while they come, twice as long after each look without any."""
STATUS_EVERY_S = 15.0
"""Asking the supervisor starts an interpreter there; between two questions its files are enough."""
PATIENCE_S = 1800.0
"""How long to try to reach a machine again before giving up; training goes on there meanwhile."""
RETRY_S = (1.0, 2.0, 5.0, 10.0, 20.0)
STOP_S = 180.0
"""How long the trainer may take to save and stop."""


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
        error = error_of(ctx, host, machine, status)
    finally:
        machine.close()
    if error is not None:
        raise error


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
                    raise MachineLostError(f"train: {gone}", resolution=from_newest(self._ctx)) from err
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
                resolution=with_more(self._ctx),
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
