"""The quota of the account, where the cloud reports it: too small a quota ends a run at its machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from runner.cloud_api.environment import NotThere
from runner.cloud_api.models import Offer, Quota
from runner.clouds.registry import find_cloud
from runner.errors import AccessDeniedError, CloudError, counted
from runner.planning.checks.asking import NoAnswerError
from runner.planning.checks.line import Check, failed, not_asked, passed, skipped, warned
from runner.planning.market import Market
from runner.prices.price_list import all_prices

QUOTA = "quota"
SHOWN = 4
"""Machines that a line names at most."""
REMEDY = "{raise_it}, or name regions or instance types that have it"
REMEDY_FIRST = "{raise_it}, or name what has it in section compute: the run ends at the first machine that is refused"

AskQuotas = Callable[[Sequence[Offer]], Mapping[Offer, Quota]]
"""Asks the cloud for the account's quota for each of these machines."""


class Judged(NamedTuple):
    """A machine to try, beside its quota."""

    offer: Offer
    vcpus: int
    quota: Quota

    @property
    def is_enough(self) -> bool:
        """Whether the quota has room for one such machine."""
        return self.quota.vcpus >= self.vcpus


def check_quota(name: str, market: Market, offers: Sequence[Offer], ask: AskQuotas) -> list[Check]:
    """Compare the account's quotas with the processors of the machines to try.

    Args:
        name: The cloud.
        market: The available machines.
        offers: The machines to try, in this order.
        ask: Asks the cloud.

    Returns:
        The line ``QUOTA``: failed where none of the machines may be rented; a warning where the first may not be, which
        ends a run even if a later one may be, and where the cloud reports none.
    """
    rules = find_cloud(name).quota
    if isinstance(rules, NotThere):
        return [skipped(QUOTA, f"{name} does not report it")]
    if market.account is None:
        return [skipped(QUOTA, "needs the cloud key")]
    try:
        reported = ask(offers)
    except AccessDeniedError as err:
        return [warned(QUOTA, f"may not be asked: {err.message}", rules.allow_reading)]
    except (CloudError, NoAnswerError) as err:
        return [not_asked(QUOTA, err.message)]
    cpus = {(row.instance_type, row.region): row.cpu_count for row in all_prices(name)}
    counts = {offer: cpus.get((offer.instance_type, offer.region)) for offer in offers}
    judged = [Judged(offer, count, reported[offer]) for offer, count in counts.items() if count and offer in reported]
    return [_compared(name, judged, len(offers), rules.raise_it)]


def _compared(name: str, judged: Sequence[Judged], machines: int, raise_it: str) -> Check:
    """Return the line; machines without a reported quota may have enough."""
    if not judged:
        return skipped(QUOTA, f"{name} does not report it")
    enough = [one for one in judged if one.is_enough]
    first = judged[0]
    if first.is_enough:
        few = "" if len(enough) == machines else f" ({len(enough)} of the {counted(machines, 'machine')} to try)"
        return passed(QUOTA, f"{_room(first)}, enough for {_named(first)}{few}")
    short = [one for one in judged if not one.is_enough]
    words = "; ".join(f"{_room(one)}, {_named(one)} has {one.vcpus}" for one in short[:SHOWN])
    if enough:
        there = f"{_named(enough[0])} in {enough[0].offer.region}"
        return warned(
            QUOTA, f"{words}; there is enough for {there}, which is tried later", REMEDY_FIRST.format(raise_it=raise_it)
        )
    if len(judged) < machines:
        return warned(QUOTA, f"{words}; {name} does not report the others", REMEDY.format(raise_it=raise_it))
    return failed(QUOTA, words, REMEDY.format(raise_it=raise_it))


def _room(one: Judged) -> str:
    return f"{one.quota.vcpus:g} vCPUs of {one.quota.name} in {one.quota.region}"


def _named(one: Judged) -> str:
    return f"{one.offer.instance_type}, spot," if one.offer.spot else one.offer.instance_type
