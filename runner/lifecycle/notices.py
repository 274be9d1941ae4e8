"""What people are written to about a run, and when; the run never waits for it, and never fails by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from runner.adapters.notices.order import notice_of
from runner.adapters.notices.sender import Sender, has_receivers
from runner.context import Context
from runner.errors import RunnerError, TeardownError, counted
from runner.run.notices_log import LOG_NAME, note_delivery
from runner.run.notices_section import EventName, filled_in
from runner.run.said_once import forget_guard, is_first_time, was_said_by_guard
from runner.run.spend import spend_of
from runner.safety.asked import DAMAGE


@contextmanager
def announced(ctx: Context) -> Iterator[None]:
    """Drive a run in the block; at its end say how it ended, if it did, and wait a little for all notices."""
    notices = _of(ctx)
    try:
        yield
    except TeardownError as err:
        notices.end = (ctx, err)
        raise
    finally:
        notices.say_end()
        notices.wait(ctx)


def started(ctx: Context) -> None:
    """Say that a run begins, or that somebody goes on with it; of several tries in a row, the first alone does."""
    notices = _of(ctx)
    if not notices.has_started:
        notices.has_started = True
        forget_guard(ctx.run)
        _show_unset(ctx)
        say(ctx, "started", f"{ctx.run_file.model.base_model} on {ctx.run_file.compute.env}")


def _show_unset(ctx: Context) -> None:
    """Show which addresses lead nowhere, while somebody looks on who can set what is missing."""
    for index, address in enumerate(ctx.run_file.notices.urls):
        for name in filled_in(address, ctx.world.environ)[1]:
            ctx.view.line(f"notices: {name} is not set, so nothing is sent to notices.urls[{index}]")


def seen(ctx: Context, event: dict[str, Any]) -> None:
    """Say what an event of the trainer means for a person, if it means anything."""
    notices, kind = _of(ctx), event.get("event")
    if not notices.is_heard:
        return
    if kind == "run_started" and notices.is_lost:
        notices.is_lost = False
        say(ctx, "recovered", f"training goes on from step {event.get('resumed_from_step') or 0} on {_place(ctx)}")
    elif kind == "step" and not notices.has_trained:
        notices.has_trained = True
        if is_first_time(ctx.run, "first_step"):
            say(ctx, "first_step", f"step {event.get('step')} of {event.get('max_steps')} on {_place(ctx)}")
    elif kind == "stalled":
        then = "goes on from its newest checkpoint" if event.get("again") is True else "ends: it is not the first time"
        words = f"no micro-batch for {event.get('silent_s')} s after step {event.get('step') or 0}"
        say(ctx, "stalled", f"{words}; the run {then}")
    elif kind == "evaluation":
        words = f"eval loss {event.get('eval_loss')} ({event.get('model')})"
        say(ctx, "eval", f"step {event.get('step')}: {words}" if event.get("step") else words)


def lost(ctx: Context, error: RunnerError) -> None:
    """Say that a run's machine was lost."""
    _of(ctx).is_lost = True
    say(ctx, "reclaimed", error.message)


def ended(ctx: Context, error: RunnerError | None) -> None:
    """Keep how a try has ended: it is said once nothing follows it."""
    _of(ctx).end = (ctx, error)


def goes_on(ctx: Context) -> None:
    """Forget how a try has ended: another one follows."""
    _of(ctx).end = None


def say(ctx: Context, event: EventName, words: str) -> None:
    """Send a notice, if anybody wants it; return at once.

    Args:
        ctx: The run.
        event: What has happened.
        words: A sentence about it; a machine may have had a say in it.
    """
    notices = _of(ctx)
    if notices.is_heard:
        notices.sender.send(notice_of(event, ctx.run.run_id, words))


class _Notices:
    """The notices of one run in this process."""

    def __init__(self, ctx: Context) -> None:
        self.is_heard = has_receivers(ctx.run_file.notices, ctx.world)
        self.sender = Sender(ctx.run_file.notices, ctx.world, lambda line: note(ctx, line))
        self.has_started = self.has_trained = self.is_lost = False
        self.end: tuple[Context, RunnerError | None] | None = None

    def say_end(self) -> None:
        """Say how the run ended, and that nothing of it bills, where that was proved.

        What the guard has said of a run that nobody has gone on with since is not said again.
        """
        if self.end is None:
            return
        (ctx, error), self.end = self.end, None
        if not self.is_heard:
            return
        may_bill = isinstance(error, TeardownError)
        if ctx.environment.bills and not (may_bill or self._is_known(ctx, "terminated")):
            say(ctx, "terminated", f"nothing of it is left on {ctx.run_file.compute.env}{_cost(ctx)}")
        if error is None:
            say(ctx, "finished", f"the adapter is in {ctx.run.adapter}{_cost(ctx)}")
        elif may_bill or not self._is_known(ctx, "failed"):
            say(ctx, "failed", f"{error.message}; {error.resolution}")

    def _is_known(self, ctx: Context, event: EventName) -> bool:
        return not self.has_started and was_said_by_guard(ctx.run, event)

    def wait(self, ctx: Context) -> None:
        """Wait a little for what is on its way, and say on the screen that something did not arrive."""
        undelivered = self.sender.wait(lambda: ctx.stop.urgent)
        if undelivered:
            ctx.view.line(
                f"{counted(undelivered, 'notice')} did not arrive everywhere: see {ctx.run.file('logs')}/{LOG_NAME}"
            )


def note(ctx: Context, line: str) -> None:
    """Write a line into the run's log of notices; a disk that is full takes none."""
    with suppress(OSError):
        note_delivery(ctx.run.logs, ctx.world.now(), line)


def _of(ctx: Context) -> _Notices:
    return ctx.world.shared((_Notices, ctx.run.run_id), lambda: _Notices(ctx))


def _place(ctx: Context) -> str:
    env = ctx.run_file.compute.env
    host = ctx.host() if ctx.environment.rents_machine else None
    return env if host is None else f"{host.instance_type} of {env}"


def _cost(ctx: Context) -> str:
    """Return what the run's machines have cost at most; nothing where none was rented or nobody knows."""
    try:
        usd = spend_of(ctx.run).total_usd
    except DAMAGE:
        return ""
    return f"; it cost ${usd:.2f} at most" if usd else ""
