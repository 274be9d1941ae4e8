"""The run's guard, as whoever drives the run has it: started before anything is rented, kept up to date, let go."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from runner.adapters.notices.sender import folder_of, has_receivers, own_variables
from runner.adapters.process import Apart
from runner.cloud_api.credentials import text
from runner.cloud_api.environment import NotThere
from runner.clouds.registry import endpoint_of, find_cloud
from runner.context import Context
from runner.errors import RunnerError, UsageError
from runner.guard.link import start_guard
from runner.guard.notes import LOG_NAME
from runner.guard.place import end_guard, living_guard
from runner.guard.words import Facts, Held, Receivers, line_of
from runner.lifecycle.by_mark import may_be_the_account
from runner.lifecycle.terraform_inputs import (
    hours_to_end,
    seconds_to_hard_end,
    seconds_to_planned_end,
    unplanned_hours,
)
from runner.run.journal import CLOCK, Journal
from runner.run.models import Host, View
from runner.safety.lease_word import beat_s
from runner.store.arming import is_armed
from runner.world import Event, World

SAVING_S, SAVING_AND_ENDING_S = 60.0, 600.0
"""How long after its lease a machine may take to save its work: less where only the guard terminates it, for it bills
meanwhile and does nothing else; where it ends itself, the guard comes after it."""


class _Guarding:
    """The guard of one run in this process."""

    def __init__(self, world: World) -> None:
        self._world, self._over, self._starting = world, world.event(), world.lock()
        self._start: Callable[[], Apart] | None = None
        self._guard: Apart | None = None
        self._was_missed = False

    @property
    def has_begun(self) -> bool:
        return self._start is not None

    def begin(self, start: Callable[[], Apart], pause_s: float) -> None:
        """Start the guard, and say from now on that this process lives."""
        self._guard, self._start, over = start(), start, self._world.event()
        self._over = over
        self._world.start(lambda: self._beat(start, over, pause_s), name="guard")

    def do_without(self, view: View, why: str, own_end: str | NotThere) -> None:
        """Say once that there is no guard, and what there is in its place."""
        rest = "nothing terminates it" if isinstance(own_end, NotThere) else f"there is only {own_end}"
        if not self._was_missed:
            view.line(f"{why}: if this runner is killed, {rest}")
        self._was_missed = True

    def say(self, line: bytes) -> bool:
        return self._guard is not None and self._guard.say(line)

    def leave(self, line: bytes) -> bool:
        """Leave the run to the guard with this word, to another one where it was killed; return whether there is one.

        From here on nobody says that this process lives.
        """
        self._over.set()
        with self._starting:
            if self.say(line):
                return True
            with contextlib.suppress(RunnerError, OSError):
                self._guard = None if self._start is None else self._start()
            return self.say(line)

    def let_go(self) -> None:
        """Say that the run is over; should it rent again (``resume``), that machine gets a guard of its own."""
        self._over.set()
        if self._guard is not None:
            _dismiss(self._guard)
        self._guard = self._start = None

    def _beat(self, start: Callable[[], Apart], over: Event, pause_s: float) -> None:
        while not over.wait(pause_s):
            if not self.say(line_of("alive")):
                self._begin_again(start, over)

    def _begin_again(self, start: Callable[[], Apart], over: Event) -> None:
        """Start another guard in the place of one that was killed; the next beat is the next try."""
        with self._starting:
            if over.is_set():
                return
            try:
                guard = start()
            except (RunnerError, OSError):
                return
            if over.is_set():
                _dismiss(guard)
            else:
                self._guard = guard


def _dismiss(guard: Apart) -> None:
    guard.say(line_of("over"))
    guard.end()


def begin(ctx: Context, *, rents: bool) -> None:
    """Start the run's guard, unless this process has one already; do nothing for a machine that was given.

    Args:
        ctx: The run.
        rents: Whether a machine is about to be rented for it; else it has one.

    Raises:
        UsageError: If no guard can be started, and nothing but the guard would terminate the machine.
    """
    guarding = _of(ctx)
    if not ctx.environment.rents_machine or guarding.has_begun:
        return
    name = ctx.environment.name
    own_end = find_cloud(name).hard_end
    if not ctx.run_file.budget.guard:
        guarding.do_without(ctx.view, "no guard watches over the machine (budget.guard is false)", own_end)
        return
    if not (rents or may_be_the_account(ctx)):
        # It would take the place of one that has the right key, and look for the machine where there is none.
        if living_guard(ctx.run.run_id, ctx.world) is None:
            guarding.do_without(ctx.view, f"this {name} account is not the one that the run was rented with", own_end)
        return
    try:
        guarding.begin(lambda: _started(ctx, rents=rents), _pause_s(ctx))
        if not rents and _may_have_one_elsewhere(ctx):
            ctx.view.line(
                f"this run was driven by another computer, or before this one was restarted: on {name} a guard that "
                "still lives there does not hear this runner, and may terminate the machine; kill it (`make status` "
                "there shows its process)"
            )
    except (RunnerError, OSError) as err:
        if rents:
            ctx.stop.check()
        if rents and isinstance(own_end, NotThere):
            raise UsageError(
                f"{err}; on {name} nothing else terminates the machine of a runner that was killed",
                resolution=f"see {ctx.run.path / 'logs' / LOG_NAME}; `--set budget.guard=false` rents without a guard",
            ) from err
        guarding.do_without(ctx.view, str(err), own_end)


def _started(ctx: Context, *, rents: bool) -> Apart:
    return start_guard(_facts(ctx, rents=rents), ctx.world, ctx.run.log("guard"), ctx.stop.impatience())


def _may_have_one_elsewhere(ctx: Context) -> bool:
    """Return whether the run may have a guard on another computer that cannot know of this runner.

    Where a machine does not end itself, the cloud's listing shows the lease that a runner renews, and a guard sees it.
    """
    if ctx.environment.lease == "none":
        return False
    clocks = [line.get(CLOCK) for line in Journal(ctx.run).entries()]
    boots = {clock.get("boot") for clock in clocks if isinstance(clock, dict)} - {None, ""}
    return bool(boots and ctx.world.boot_id) and ctx.world.boot_id not in boots


def asks(ctx: Context) -> None:
    """Let the guard know that a machine is asked for, and when it has to be over.

    That is as planned: its end holds what is left of the money, at its own price and not at that of an earlier machine.
    """
    hard_end_s = _at_least_a_lease(ctx, seconds_to_planned_end)
    _of(ctx).say(line_of("asks", hard_end_s=hard_end_s))


def rented(ctx: Context) -> None:
    """Let the guard know that the cloud has answered: no other machine comes of that request."""
    _of(ctx).say(line_of("rented"))


def waits(ctx: Context) -> None:
    """Let the guard know that the run waits for a machine: the end that was planned is of one that was not rented.

    Past that end it would terminate what carries the run's mark, the next machine too.
    """
    _of(ctx).say(line_of("asks", hard_end_s=_longest_s(ctx)))
    rented(ctx)


def saves(ctx: Context, *, is_leased: bool) -> None:
    """Let the guard know whether the machine's own lease runs, so that it gets time to save its work and end itself.

    One that is booted or set up, or whose lease is dead, has nothing to save or nobody who would: it goes sooner.
    """
    if ctx.environment.lease != "none":
        _of(ctx).say(line_of("saves", saving_s=SAVING_AND_ENDING_S if is_leased else SAVING_S))


def hold(ctx: Context, host: Host, prefix: str | None) -> None:
    """Leave the run to its guard.

    Args:
        ctx: The run.
        host: Its machine.
        prefix: Where the run lives there, or ``None`` where nothing is to be trained yet.
    """
    begin(ctx, rents=False)
    held = Held(
        hard_end_s=_hard_end_s(ctx),
        idle_s=ctx.run_file.idle_minutes * 60,
        host=host,
        prefix=prefix,
        login_key=text(ctx.run.login_key),
        known_hosts=text(ctx.run.known_hosts),
    )
    guarding = _of(ctx)
    if not guarding.has_begun:
        return  # that there is none was said
    if not guarding.leave(line_of("hold", held)):
        if ctx.environment.rents_machine:
            own_end = find_cloud(ctx.environment.name).hard_end
            guarding.do_without(ctx.view, "the guard was killed, and does not start again", own_end)
        return
    if prefix is None or ctx.environment.lease != "none":
        return
    work = "its work is in the store" if is_armed(ctx.run_file) else "what has not come home by then is lost"
    minutes = ctx.run_file.idle_minutes
    ctx.view.line(
        f"when nothing has trained for {minutes:g} minutes the guard terminates the machine, and {work}; "
        f"`make watch RUN={ctx.run.run_id}` brings it home"
    )


def let_go(ctx: Context) -> None:
    """End the guard of a run of which nothing is left, whoever has started it."""
    _of(ctx).let_go()
    try:
        end_guard(ctx.run.run_id, ctx.world)
    except (RunnerError, OSError) as err:  # it finds nothing to terminate, and ends then
        ctx.view.line(str(err))


def _of(ctx: Context) -> _Guarding:
    return ctx.world.shared((_Guarding, ctx.run.run_id), lambda: _Guarding(ctx.world))


def _facts(ctx: Context, *, rents: bool) -> Facts:
    return Facts(
        run_id=ctx.run.run_id,
        cloud=ctx.environment.name,
        folder=str(ctx.run.path),
        lease_s=ctx.run_file.budget.lease_minutes * 60,
        saving_s=SAVING_S if rents or ctx.environment.lease == "none" else SAVING_AND_ENDING_S,
        hard_end_s=_longest_s(ctx) if rents else _hard_end_s(ctx),
        endpoint=endpoint_of(ctx.environment.name, ctx.world.environ),
        receivers=_receivers(ctx),
    )


def _receivers(ctx: Context) -> Receivers | None:
    """Return who hears of what the guard does, and what leads to them; ``None`` for nobody."""
    section = ctx.run_file.notices
    if not has_receivers(section, ctx.world):
        return None
    variables = own_variables(section, ctx.world.environ)
    return Receivers(section.urls, section.events, section.command, folder_of(ctx.world), variables)


def _hard_end_s(ctx: Context) -> float:
    """Return how long the run's machine may go on from now."""
    return _at_least_a_lease(ctx, seconds_to_hard_end)


def _at_least_a_lease(ctx: Context, left_s: Callable[[Context], float]) -> float:
    """Return how long a machine may go on: a lease at least, so that a runner can still end it in order."""
    lease_s = ctx.run_file.budget.lease_minutes * 60
    try:
        return max(lease_s, left_s(ctx))
    except (RunnerError, OSError, TypeError, KeyError, ValueError):  # a damaged folder: the longest that it can be
        return max(lease_s, _longest_s(ctx))


def _longest_s(ctx: Context) -> float:
    """Return how long any machine of the plan may go on from the request for it, in seconds.

    Where the plan cannot be read, that is the longest there is.
    """
    try:
        return max(hours_to_end(ctx, one) for one in ctx.plan.machines) * 3600
    except (RunnerError, OSError, TypeError, ValueError):
        return unplanned_hours(ctx) * 3600


def _pause_s(ctx: Context) -> float:
    return beat_s(ctx.run_file.budget.lease_minutes)
