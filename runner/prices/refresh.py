"""What machines cost by the dated price lists, for estimates that need no account and no network, and their refresh."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any

from runner.cloud_api.environment import PriceRules
from runner.cloud_api.models import Offer, Trust
from runner.errors import CloudUnavailableError, UnreadableAnswerError, UsageError
from runner.prices.platforms import trust_of_list
from runner.prices.price_list import (
    ANYWHERE,
    CATALOG,
    ListedPrice,
    all_prices,
    is_stale,
    listed_clouds,
    write_price_list,
)

LEAST_SHARE = 0.5
GPUHUNT_NAMES = {"azureml": "azure"}
"""What gpuhunt calls platforms that Douse cannot rent from yet; of a cloud, its record has that name."""


@dataclass(frozen=True)
class Refreshed:
    """What became of a price list.

    Attributes:
        cloud: Its name.
        path: Its file.
        rows_before: Rows it had.
        rows_after: Rows it has.
        kept: Those of them that were kept as they were, with their old day: the listing has no prices for them.
    """

    cloud: str
    path: Path
    rows_before: int
    rows_after: int
    kept: int


def listed_offers(cloud: str, folder: Path = CATALOG) -> list[Offer]:
    """Return the price list as offers, cheapest first; whether a machine can be had is unknown.

    Raises:
        UsageError: If there is no price list for the cloud.
    """
    trust = trust_of_list(cloud)
    offers = [
        Offer(
            instance_type=row.instance_type,
            region=row.region,
            spot=row.spot,
            price_usd_per_h=row.price_usd_per_h,
            gpu_name=row.gpu_name,
            gpu_count=row.gpu_count,
            gpu_memory_gib=row.gpu_memory_gib,
            memory_gib=row.memory_gib,
            disk_gib=row.disk_gib,
            trust=trust,
            is_price_dated=True,
        )
        for row in all_prices(cloud, folder)
    ]
    return sorted(offers, key=lambda offer: (offer.price_usd_per_h, offer.instance_type, offer.spot, offer.region))


def split_by_list(cloud: str, offers: Sequence[Offer]) -> dict[str, list[Offer]]:
    """Return a cloud's offers by the price list that they belong in: community machines have one of their own."""
    lists: dict[Trust, str] = {"secure": cloud, "community": f"{cloud}-community"}
    found = {lists["secure"]: [offer for offer in offers if offer.trust == "secure"]}
    community = [offer for offer in offers if offer.trust == "community"]
    return found | ({lists["community"]: community} if community else {})


def stale_prices(cloud: str, today: date, folder: Path = CATALOG) -> list[ListedPrice]:
    """Return the rows of a price list that are too old to be relied on, the oldest first.

    Raises:
        UsageError: If there is no price list for the cloud.
    """
    stale = [row for row in all_prices(cloud, folder) if is_stale(row, today)]
    return sorted(stale, key=lambda row: row.as_of)


def refresh(
    cloud: str,
    offers: Sequence[Offer],
    today: date,
    rules: PriceRules,
    *,
    source: str | None = None,
    folder: Path = CATALOG,
) -> Refreshed:
    """Replace a cloud's price list by what the cloud lists now, whole or not at all.

    What an offer does not say of its kind of machine (processors, memory, disk) is taken over from the old list, and
    so are the terms of the cloud (disk price, billing unit). Offers without a price are left out.

    Args:
        cloud: Name of the price list.
        offers: The listing, from the cloud's client or from `gpuhunt_offers`.
        today: The day of the new prices.
        rules: How the list is kept.
        source: Where the listing is from, if not from the cloud's own API.
        folder: Folder of the price lists.

    Raises:
        UnreadableAnswerError: If the listing is empty, or has less than half of what the list has, on demand or spot:
            then it is rather broken than news.
        UsageError: If the list cannot be written.
    """
    old = all_prices(cloud, folder) if cloud in listed_clouds(folder) else ()
    is_partial = source is None and rules.on_demand_from_list
    wanted = [offer for offer in offers if _is_priced(offer) and not (is_partial and offer.is_price_dated)]
    kept = _kept(old, wanted) if is_partial else ()
    rows = [
        _row(cloud, offer, old, today, source or f"{cloud}'s own API, asked by Douse")
        for offer in _one_for_each_place(wanted, rules)
    ]
    replaced = [row for row in old if row not in kept]
    for spot in (False, True):
        _refuse_shrunk(cloud, spot=spot, before=_count(replaced, spot), after=_count(rows, spot))
    if not rows:
        raise UnreadableAnswerError(
            f"prices: the new listing of {cloud} is empty",
            resolution="run `make prices` again later; the price list is unchanged",
        )
    new = sorted((*kept, *rows), key=lambda row: (row.spot, row.instance_type, row.region))
    path = write_price_list(cloud, new, folder)
    return Refreshed(cloud, path, rows_before=len(old), rows_after=len(new), kept=len(kept))


def gpuhunt_offers(cloud: str, names: Mapping[str, str]) -> list[Offer]:
    """Return gpuhunt's offers of a cloud: whole NVIDIA GPUs in x86 machines. It needs a network.

    gpuhunt is no dependency of Douse; it is asked only where it is installed.

    Args:
        cloud: Name of the cloud or platform.
        names: What gpuhunt calls the clouds whose machines it names as they do.

    Raises:
        UsageError: If gpuhunt is not installed, or does not name the cloud's machines as the cloud does.
        CloudUnavailableError: If the catalogue cannot be fetched.
    """
    known = GPUHUNT_NAMES | dict(names)
    if cloud not in known:
        raise UsageError(
            f"prices: gpuhunt has no list of {cloud} that Douse can use",
            resolution=f"take one of {', '.join(sorted(known))}, or the cloud's own API",
        )
    try:
        gpuhunt = importlib.import_module("gpuhunt")
    except ImportError as err:
        raise UsageError(
            "prices: gpuhunt is not installed",
            details=str(err),
            resolution="install the package gpuhunt beside Douse, or ask the cloud's own API",
        ) from err
    try:
        items = gpuhunt.query(provider=known[cloud], min_gpu_count=1)
    except (OSError, getattr(gpuhunt, "GPUHuntError", OSError)) as err:
        raise CloudUnavailableError(
            "prices: gpuhunt's catalogue cannot be fetched",
            details=str(err),
            resolution="run `make prices GPUHUNT=1` again later",
        ) from err
    return [_gpuhunt_offer(item) for item in items if _is_usable(item)]


def _kept(old: Sequence[ListedPrice], offers: Sequence[Offer]) -> tuple[ListedPrice, ...]:
    """Return the rows of machines on demand that no offer has a newer price of."""
    renewed = {(offer.instance_type, offer.region) for offer in offers if not offer.spot}
    return tuple(row for row in old if not row.spot and (row.instance_type, row.region) not in renewed)


def _is_priced(offer: Offer) -> bool:
    return offer.price_usd_per_h > 0 and isfinite(offer.price_usd_per_h)


def _one_for_each_place(offers: Sequence[Offer], rules: PriceRules) -> list[Offer]:
    """Return one offer for each kind and place, the dearest; for one price everywhere, a single one with ``any``."""
    kinds: defaultdict[tuple[str, bool], dict[str, Offer]] = defaultdict(dict)
    for offer in sorted(offers, key=lambda offer: offer.price_usd_per_h):
        kinds[offer.instance_type, offer.spot][offer.region] = offer
    return [offer for places in kinds.values() for offer in _places(places, rules)]


def _places(places: dict[str, Offer], rules: PriceRules) -> list[Offer]:
    prices = {offer.price_usd_per_h for offer in places.values()}
    if rules.same_everywhere and len(prices) == 1:
        return [replace(next(iter(places.values())), region=ANYWHERE)]
    return list(places.values())


def _row(cloud: str, offer: Offer, old: Sequence[ListedPrice], today: date, source: str) -> ListedPrice:
    same_kind = next((row for row in old if row.instance_type == offer.instance_type), None)
    same_place = next((row for row in old if row.region in (offer.region, ANYWHERE)), None)
    return ListedPrice(
        instance_type=offer.instance_type,
        region=offer.region,
        gpu_name=offer.gpu_name,
        gpu_count=offer.gpu_count,
        gpu_memory_gib=offer.gpu_memory_gib,
        memory_gib=offer.memory_gib or (same_kind.memory_gib if same_kind else None),
        price_usd_per_h=offer.price_usd_per_h,
        as_of=today,
        source=source,
        provider=cloud,
        spot=offer.spot,
        cpu_count=same_kind.cpu_count if same_kind else None,
        disk_gib=offer.disk_gib or (same_kind.disk_gib if same_kind else None),
        disk_price_usd_per_gb_month=_disk_price(offer, same_place),
        billing_unit=old[0].billing_unit if old else None,
    )


def _disk_price(offer: Offer, same_place: ListedPrice | None) -> float | None:
    if offer.disk_price_usd_per_gb_month is not None:
        return offer.disk_price_usd_per_gb_month
    return same_place.disk_price_usd_per_gb_month if same_place else None


def _count(rows: Sequence[ListedPrice], spot: bool) -> int:
    return sum(row.spot is spot for row in rows)


def _refuse_shrunk(cloud: str, *, spot: bool, before: int, after: int) -> None:
    if after >= before * LEAST_SHARE:
        return
    kind = "spot" if spot else "on-demand"
    raise UnreadableAnswerError(
        f"prices: the new listing of {cloud} has {after} {kind} prices, its price list has {before}",
        resolution=f"run `make prices ENV={cloud}` later; if it really sells so little, remove its {kind} rows first",
    )


def _is_usable(item: Any) -> bool:
    """Return whether the trainer can run on an item. Older versions of gpuhunt list nothing but NVIDIA and x86."""
    vendor, processor = getattr(item, "gpu_vendor", None), getattr(item, "cpu_arch", None)
    return (
        getattr(vendor, "value", vendor) in (None, "nvidia")
        and getattr(processor, "value", processor) in (None, "x86")
        and bool(item.gpu_name)
        and bool(item.gpu_memory)
    )


def _gpuhunt_offer(item: Any) -> Offer:
    return Offer(
        instance_type=str(item.instance_name),
        region=str(item.location),
        spot=bool(item.spot),
        price_usd_per_h=float(item.price),
        gpu_name=str(item.gpu_name),
        gpu_count=int(item.gpu_count),
        gpu_memory_gib=float(item.gpu_memory),
        memory_gib=float(item.memory),
        disk_gib=None if item.disk_size is None else float(item.disk_size),
    )
