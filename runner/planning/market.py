"""What a cloud says before anything is rented, and what the price lists say where it does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from runner.cloud_api.credentials import NotConfiguredError
from runner.cloud_api.environment import NotThere
from runner.cloud_api.models import Account, Cloud, Listing, Offer, Placement, Quota, TrustWanted
from runner.clouds.registry import endpoint_of, find_cloud, open_cloud
from runner.errors import CloudUnavailableError, NoCapacityError, RunnerError, UsageError
from runner.prices.platforms import price_lists_of
from runner.prices.price_list import ANYWHERE, price_list
from runner.prices.refresh import listed_offers
from runner.world import World

REACH_S = 1.0
"""How long a connection may take before the network counts as down."""
PATIENCE_S = 15.0
"""How long a cloud that can be reached may take to answer; some take one request a second."""
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy")


@dataclass(frozen=True)
class Market:
    """What there is to rent, and what of ours is there already.

    Attributes:
        offers: What there is.
        account: Whose account it is, or ``None`` where the cloud was not asked.
        listing: What of ours the account holds, and what of it could not be read: that hides nothing else.
        remark: Why the offers are those of the price list, or ``None`` where the cloud itself listed them.
    """

    offers: list[Offer]
    account: Account | None = None
    listing: Listing = field(default_factory=lambda: Listing([]))
    remark: str | None = None


def ask(cloud: Cloud, trust: TrustWanted = "secure") -> Market:
    """Ask a cloud.

    Args:
        cloud: The account.
        trust: Whose machines will do.

    Raises:
        CloudError: If it refuses, or does not answer.
    """
    account = cloud.account()
    listing = cloud.listing()
    return Market(list(cloud.offers(trust)), account, listing)


def ask_or_look_up(
    name: str,
    world: World,
    trust: TrustWanted = "secure",
    regions: Sequence[str] = (),
    *,
    patience_s: float = PATIENCE_S,
) -> Market:
    """Ask a cloud for a while; where it does not answer, take the price list and say so.

    Raises:
        CloudError: If the cloud refuses: a wrong key is no matter of the network.
        NoCapacityError: If there is no price list either.
    """
    try:
        cloud = open_cloud(name, world)
    except NotConfiguredError as err:
        return _listed(name, trust, regions, err.message)
    if not is_reachable(endpoint_of(name, world.environ), world):
        return _listed(name, trust, regions, f"{name} cannot be reached")
    found: list[Market | RunnerError] = []

    def try_to_ask() -> None:
        try:
            found.append(ask(cloud, trust))
        except RunnerError as err:
            found.append(err)

    world.start(try_to_ask, name=f"ask-{name}").join(patience_s)
    if not found:
        return _listed(name, trust, regions, f"{name} did not answer within {patience_s:g} s")
    if isinstance(found[0], CloudUnavailableError):
        return _listed(name, trust, regions, found[0].message)
    if isinstance(found[0], RunnerError):
        raise found[0]
    return found[0]


class MarketCall:
    """One asking of a cloud, for all who want to know: the first asks, the others wait for the same answer."""

    def __init__(
        self,
        name: str,
        world: World,
        *,
        is_dry: bool,
        trust: TrustWanted = "secure",
        regions: Sequence[str] = (),
    ) -> None:
        """Ask nothing yet.

        Args:
            name: The cloud.
            world: Where its key is, and the network.
            is_dry: Whether a price list is as good as the cloud's word, because nothing will be rented.
            trust: Whose machines will do.
            regions: Where, as the run file says: what the price list has at one price everywhere is there as well.
        """
        self._name, self._world, self._is_dry = name, world, is_dry
        self._trust, self._regions = trust, regions
        self._lock = world.lock()
        self._found: Market | RunnerError | None = None

    def get(self) -> Market:
        """Return the cloud's answer.

        Raises:
            CloudError: If it refuses; if it does not answer, too, unless the call is dry.
        """
        with self._lock:
            if self._found is None:
                self._found = self._ask()
        if isinstance(self._found, RunnerError):
            raise self._found
        return self._found

    def _ask(self) -> Market | RunnerError:
        try:
            if self._is_dry:
                return ask_or_look_up(self._name, self._world, self._trust, self._regions)
            return ask(self.open(), self._trust)
        except RunnerError as err:
            return err

    def open(self) -> Cloud:
        """Return the account to rent from; nothing is asked yet.

        Raises:
            UsageError: If the environment names none.
            AccountError: If its key cannot be read.
        """
        return open_wanted(self._name, self._world, f"compute.env is {self._name}")

    @property
    def name(self) -> str:
        """Name of the cloud."""
        return self._name

    def account(self) -> Account:
        """Return whose account it is.

        Raises:
            CloudError: As ``get``; also where only the price list was looked at.
        """
        found = self.get()
        if found.account is None:
            raise CloudUnavailableError(
                found.remark or "", resolution=f"set the key of {self._name} (docs/clouds/), or connect to the network"
            )
        return found.account

    def quotas(self, offers: Sequence[Offer]) -> dict[Offer, Quota]:
        """Return the account's quotas for these machines; raises as the cloud does."""
        return open_cloud(self._name, self._world).quotas(offers)

    def places(self, offers: Sequence[Offer], own: object) -> dict[Offer, Placement]:
        """Return whether the account has a network for each of these machines; raises as the cloud does.

        Args:
            offers: The machines.
            own: The run file's section of this cloud, if it has one.
        """
        rules = find_cloud(self._name).places
        return {} if isinstance(rules, NotThere) else rules.ask(open_cloud(self._name, self._world), own, offers)

    def listing(self) -> Listing:
        """Return the Douse resources that exist, as far as they could be read; raises as ``account``."""
        self.account()
        return self.get().listing


def open_wanted(name: str, world: World, why: str) -> Cloud:
    """Return the account of a cloud that a run file names; nothing is asked yet.

    Args:
        name: The cloud.
        world: Where its key is.
        why: Which key of the run file names it, for the error.

    Raises:
        UsageError: If the environment names no account.
        AccountError: If its key cannot be read.
    """
    try:
        return open_cloud(name, world)
    except NotConfiguredError as err:
        wanted = find_cloud(name).account_words
        verb = "is" if wanted.isupper() else "are"  # a variable's name, or a few words
        raise UsageError(f"plan: {wanted} {verb} not set, and {why}", resolution=err.resolution) from err


def is_reachable(url: str, world: World) -> bool:
    """Return whether a server can be connected to now; one behind a proxy is taken to be, and no address never."""
    try:
        host, port = urlsplit(url).hostname or "", urlsplit(url).port or 443
        if any(world.environ.get(name) for name in PROXIES):
            return True
        world.connect(host, port, REACH_S).close()
    except (OSError, ValueError):
        return False
    return True


def _listed(name: str, trust: TrustWanted, regions: Sequence[str], why: str) -> Market:
    lists = price_lists_of(name, trust)
    offers = [found for one in lists for offer in listed_offers(one) for found in _in_regions(offer, regions)]
    if not offers:
        raise NoCapacityError(
            f"plan: {why}, and there is no price list", resolution="connect to the network, then run `make plan` again"
        )
    as_of = min(row.as_of for one in lists for row in price_list(one))
    return Market(offers, remark=f"{why}; prices are those of the list of {as_of} or newer")


def _in_regions(offer: Offer, regions: Sequence[str]) -> list[Offer]:
    """Return a listed machine in each of the wanted regions, where it costs the same everywhere."""
    if offer.region != ANYWHERE or offer.spot or not regions:
        return [offer]
    return [replace(offer, region=region) for region in regions]
