"""The account on the cloud that the run would rent from: key, balance, and what of ours bills there already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from runner.cloud_api.models import Account, Listing, Resource
from runner.clouds.registry import endpoint_of, open_cloud
from runner.errors import RunnerError, counted
from runner.planning.checks.line import Check, failed, from_error, not_asked, passed, skipped, warned
from runner.planning.market import is_reachable
from runner.world import World

KEY, BALANCE, BILLING = "cloud key", "balance", "still billing"
SHOWN = 3
"""Largest number of resources in one line."""
UNREACHABLE = "{name} cannot be reached"


class Asked(Protocol):
    """What is asked of a cloud here."""

    def account(self) -> Account:
        """Return whose account it is."""

    def listing(self) -> Listing:
        """Return all Douse resources in it, as far as they can be read."""


OpenCloud = Callable[[str, World], Asked]
Reach = Callable[[str, World], bool]
"""Returns whether a server can be connected to right now: given its address, and the world with its proxies."""


def check_account(
    name: str,
    world: World,
    expected_usd: float | None = None,
    *,
    open_account: OpenCloud = open_cloud,
    is_reachable: Reach = is_reachable,
) -> list[Check]:
    """Ask whose key it is and what money is left.

    Args:
        name: The cloud.
        world: Where the key is, and the network.
        expected_usd: What the run is expected to cost in US dollars, or ``None`` where it is not known.
        open_account: Opens an account on a cloud.
        is_reachable: Returns whether the cloud can be reached.

    Returns:
        The lines ``KEY`` and ``BALANCE``.
    """
    try:
        cloud = open_account(name, world)
        if not is_reachable(endpoint_of(name, world.environ), world):
            return [not_asked(line, UNREACHABLE.format(name=name)) for line in (KEY, BALANCE)]
        account = cloud.account()
    except RunnerError as err:
        return [from_error(KEY, err), skipped(BALANCE, "needs the cloud key")]
    return [passed(KEY, f"{account.cloud} {account.label}"), check_balance(name, account.balance_usd, expected_usd)]


def check_balance(name: str, balance_usd: float | None, expected_usd: float | None) -> Check:
    """Compare the money that is left with what the run is expected to cost; both in US dollars."""
    remedy = "top the account up in the cloud's console, or set budget.max_usd to what is left"
    if balance_usd is None:
        return skipped(BALANCE, f"{name} does not report it")
    if balance_usd <= 0:
        return failed(BALANCE, f"${balance_usd:.2f}: nothing is left", "top the account up in the cloud's console")
    if expected_usd is None:
        return passed(BALANCE, f"${balance_usd:.2f}")
    value = f"${balance_usd:.2f}, the run is expected to cost ${expected_usd:.2f}"
    return warned(BALANCE, value, remedy) if balance_usd < expected_usd else passed(BALANCE, value)


def check_billing(
    name: str,
    world: World,
    *,
    open_account: OpenCloud = open_cloud,
    is_reachable: Reach = is_reachable,
) -> list[Check]:
    """List the Douse resources in the account, of all runs, in all its regions.

    Returns:
        The line ``BILLING``.
    """
    try:
        cloud = open_account(name, world)
        if not is_reachable(endpoint_of(name, world.environ), world):
            return [not_asked(BILLING, UNREACHABLE.format(name=name))]
        found = cloud.listing()
    except RunnerError as err:
        return [from_error(BILLING, err)]
    # A price of 0 is free; ``None`` is an unknown price.
    billing = [one for one in found.resources if one.price_usd_per_h != 0]
    words = [_words(one) for one in billing[:SHOWN]]
    if len(billing) > SHOWN:
        words[-1] += f" and {len(billing) - SHOWN} more"
    words += [f"{name} could not be read to the end: {err.message}" for err in found.unread[:1]]
    if not words:
        there = len(found.resources)
        free = f" ({counted(there, 'resource that costs', 'resources that cost')} nothing)" if there else ""
        return [passed(BILLING, f"nothing of an older run{free}")]
    value = "; ".join(words)
    hint = "`make sweep` shows which run uses it, `make sweep APPLY=1` terminates what no run is using"
    return [warned(BILLING, value, hint)]


def reported_once(checks: Sequence[Check]) -> list[Check]:
    """Return the lines of an account without a second failure that is only the key's."""
    key_failed = any(check.name == KEY and check.status == "fail" for check in checks)
    return [
        skipped(BILLING, "needs the cloud key") if key_failed and check.name == BILLING else check for check in checks
    ]


def _words(found: Resource) -> str:
    price = "price unknown" if found.price_usd_per_h is None else f"${found.price_usd_per_h:.2f} an hour"
    return f"{found.kind} {found.id} of run {found.run_id or 'unknown'} ({price})"
