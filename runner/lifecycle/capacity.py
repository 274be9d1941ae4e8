"""Waiting for a machine where none can be had now: nothing of the run bills meanwhile, and the wait has an end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta

from runner.cloud_api.models import Offer
from runner.clouds.registry import open_cloud
from runner.context import Context
from runner.errors import (
    CloudUnavailableError,
    NoCapacityError,
    RateLimitedError,
    TerraformError,
    UnreadableAnswerError,
)
from runner.lifecycle import guarding, notices
from runner.lifecycle.by_mark import end_by_mark
from runner.lifecycle.lookout import open_looks, until_over
from runner.lifecycle.terraform_inputs import terraform_of
from runner.provider import pauses
from runner.run.models import Host
from runner.run.planned import ANYWHERE, PlannedMachine
from runner.world import World

FIRST_PAUSE_S, LONGEST_PAUSE_S = 15.0, 300.0
JITTER = 0.25
"""A pause is longer or shorter by up to this share, so that runs that were refused together do not ask together."""
AWAKE_S = 30.0
"""A computer that slept looks at the time again after so long at most."""
TROUBLE = (CloudUnavailableError, RateLimitedError, UnreadableAnswerError)
Rent = Callable[[Sequence[PlannedMachine]], Host]


def rent_patiently(ctx: Context, rent: Rent, rent_again: Rent) -> Host:
    """Rent one of the planned machines; where none can be had, ask again for ``compute.wait_minutes``.

    Args:
        ctx: The run.
        rent: Asks for these machines, by the plan that Terraform has.
        rent_again: The same by a plan that it makes for these machines, whose ends count from now.

    Raises:
        NoCapacityError: If none can be had until then.
        RunInterruptedError: If the user wants an end; nothing was rented.
        TeardownError: If nobody can show that nothing bills.
    """
    try:
        return rent(ctx.plan.machines)
    except NoCapacityError as err:
        if not _is_waited_for(ctx, err):
            raise
        refused = err
    waiting = _Waiting(ctx)
    for pause_s in pauses_s(ctx.world):
        _prove_that_nothing_bills(ctx)
        if not waiting.pause(pause_s):
            break
        try:
            if machines := waiting.at_their_price():
                return rent_again(machines)
        except NoCapacityError as err:
            if not _is_waited_for(ctx, err):
                raise
            refused = err
    raise NoCapacityError(
        f"{refused.message}; waited {ctx.run_file.compute.wait_minutes:g} min for one",
        details=refused.details,
        resolution=f"`make resume RUN={ctx.run.run_id}` asks again; raise compute.wait_minutes, or name more in "
        "compute.instance_types or compute.regions",
    ) from refused


def waits(ctx: Context) -> bool:
    """Return whether a run waits for a machine."""
    return ctx.run_file.compute.wait_minutes > 0 and ctx.environment.bills


def _is_waited_for(ctx: Context, refused: NoCapacityError) -> bool:
    """Return whether a later answer may be another one; a machine that was handed out and reclaimed has cost money."""
    return waits(ctx) and refused.failure == NoCapacityError.failure


def pauses_s(world: World) -> Iterator[float]:
    """Return the seconds between two requests: longer and longer, up to five minutes, each a little off."""
    for pause_s in pauses.pauses_s(FIRST_PAUSE_S, LONGEST_PAUSE_S):
        share = int(world.token(4), 16) / 0xFFFFFFFF
        yield pause_s * (1 - JITTER + 2 * JITTER * share)


class _Waiting:
    """One wait: until when, and what was said of it."""

    def __init__(self, ctx: Context) -> None:
        """Begin it, and say so once: on the screen and by a notice."""
        self._ctx, self._said = ctx, set[str]()
        wait_s = ctx.run_file.compute.wait_minutes * 60
        self._until_s = ctx.world.boottime_s() + wait_s
        until = f"{ctx.world.now() + timedelta(seconds=wait_s):%Y-%m-%d %H:%M} UTC"
        none = f"no machine of the plan can be had on {ctx.environment.name} now"
        ctx.view.line(f"{none}; waiting for one until {until}, nothing bills meanwhile, Ctrl-C ends the wait")
        notices.say(ctx, "waiting", f"{none}; the run waits for one until {until}")

    def pause(self, seconds: float) -> bool:
        """Let time pass, and return whether there was any left; the last request falls on the end of the wait.

        Raises:
            RunInterruptedError: If the user wants an end.
        """
        world, stop = self._ctx.world, self._ctx.stop
        if self._until_s <= world.boottime_s():
            return False
        self._ctx.view.progress("waiting for a machine")
        guarding.waits(self._ctx)
        over_s = min(world.boottime_s() + seconds, self._until_s)
        while (left_s := over_s - world.boottime_s()) > 0:
            stop.check()
            stop.wait(min(left_s, AWAKE_S))
        stop.check()
        return True

    def at_their_price(self) -> list[PlannedMachine]:
        """Return the planned machines that are listed now for no more than was agreed to; none while nobody answers."""
        ctx = self._ctx
        try:
            offers = open_cloud(ctx.environment.name, ctx.world).offers(ctx.run_file.compute.trust)
        except TROUBLE:
            return []
        found = []
        for machine in ctx.plan.machines:
            prices = [offer.price_usd_per_h for offer in _like(offers, machine)]
            if prices and min(prices) <= machine.max_price_usd_per_h:
                found.append(machine)
            elif prices:
                self._say_once(
                    f"{machine.identity.name} costs ${min(prices):g}/h now, more than the "
                    f"${machine.max_price_usd_per_h:g}/h that were agreed to"
                )
        return found

    def _say_once(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            self._ctx.view.line(words)


def _like(offers: Iterable[Offer], machine: PlannedMachine) -> list[Offer]:
    """Return the offers that a planned machine may come of, without those of which none can be had now."""
    wanted, places = (machine.instance_type, machine.spot, machine.trust), (machine.region, ANYWHERE)
    same = (one for one in offers if (one.instance_type, one.spot, one.trust) == wanted and one.available is not False)
    return [one for one in same if machine.region == ANYWHERE or one.region in places]


def _prove_that_nothing_bills(ctx: Context) -> None:
    """Take back what the refused machine has left (a key, a firewall), and look that nothing of the run is there."""
    looks = open_looks(ctx)
    with suppress(TerraformError), until_over(ctx, looks):  # what it leaves is ended by its mark
        terraform_of(ctx, "provision", cancel=ctx.stop.wants_out).destroy()
    end_by_mark(ctx, outcome_unknown=False, looks=looks)
