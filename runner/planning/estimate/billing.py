"""How a rented machine is paid for: by the terms of its platform, the disk it gets, and what leaves it.

``egress.csv`` has what traffic to the internet costs, each price with its region, day and source. What a platform
has no source of at all is not counted; ``docs/prices.md`` lists it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from pathlib import Path

from runner.cloud_api.models import Offer
from runner.errors import UsageError
from runner.planning.estimate.cost import BILLING_UNITS_S, Billing
from runner.planning.estimate.disk import disk_needed_gib, rented_disk_gib
from runner.prices.platforms import platform_at
from runner.prices.price_list import HOURS_PER_MONTH, listed_disk_price, price_in
from runner.prices.tables import table_lines
from runner.run.run_file import RunFile

EGRESS = Path(__file__).parents[2] / "prices" / "egress.csv"


@dataclass(frozen=True)
class EgressPrice:
    """What traffic to the internet costs.

    Attributes:
        platform: Name of the platform.
        region: Where the machine is; ``any`` where the price is the same everywhere.
        usd_per_gb: US dollars for a GB, of the first ones that are not free.
        as_of: The day of the source.
        source: Where the price is from.
    """

    platform: str
    region: str
    usd_per_gb: float
    as_of: date
    source: str


def billing_of(run_file: RunFile, model_bytes: int, environment: str, offer: Offer) -> Billing:
    """Return how a machine is paid for. What has no known price is not counted.

    Args:
        run_file: The run.
        model_bytes: Files of its base model.
        environment: The platform that the machine is on, or Douse's environment there.
        offer: The machine.
    """
    price, platform = offer.price_usd_per_h, platform_at(environment, offer.trust)
    if platform is None:
        return Billing(price, is_spot=offer.spot)
    return Billing(
        price_usd_per_h=price,
        unit_s=BILLING_UNITS_S[platform.billing_unit or "second"],
        minimum_s=platform.minimum_s or 0.0,
        disk_size_gib=_rented_gib(run_file, model_bytes),
        disk_usd_per_gib_month=_disk_usd_per_gib_month(environment, offer),
        egress_usd_per_gib=egress_usd_per_gb(platform.name, offer.region) or 0.0,
        is_spot=offer.spot,
    )


def disk_usd_per_h(environment: str, offer: Offer, disk_gib: float) -> float:
    """Return the price of a machine's disk in US dollars an hour; what has no known price is not counted.

    Args:
        environment: The platform that the machine is on, or Douse's environment there.
        offer: The machine.
        disk_gib: Its disk, in GiB.
    """
    return disk_gib * _disk_usd_per_gib_month(environment, offer) / HOURS_PER_MONTH


def _disk_usd_per_gib_month(environment: str, offer: Offer) -> float:
    platform = platform_at(environment, offer.trust)
    if offer.disk_price_usd_per_gb_month is not None:
        return offer.disk_price_usd_per_gb_month
    if platform is None or not platform.prices_from:
        return 0.0
    return listed_disk_price(platform.prices_from, offer.region) or 0.0


@cache
def egress_usd_per_gb(platform: str, region: str) -> float | None:
    """Return the price of a GB to the internet in US dollars, or ``None`` where no source is known.

    Where only other regions have one, the dearest of them counts: what is not known must not look cheap.
    """
    rows = (row for row in egress_prices().values() if row.platform == platform)
    return price_in(region, ((row.region, row.usd_per_gb) for row in rows))


@cache
def egress_prices(table: Path = EGRESS) -> dict[tuple[str, str], EgressPrice]:
    """Return every price of traffic by platform and region.

    Raises:
        UsageError: If the table cannot be read, a price has no source, or there are two of the same.
    """
    found: dict[tuple[str, str], EgressPrice] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for number, line in table_lines(file, table.name, [field.name for field in fields(EgressPrice)]):
            price = _price(line, f"line {number} of {table.name}")
            if (price.platform, price.region) in found:
                raise UsageError(
                    f"plan: line {number} of {table.name} is a second price of {price.platform} in {price.region}",
                    resolution="keep one of the two",
                )
            found[price.platform, price.region] = price
    return found


def _price(line: dict[str, str], where: str) -> EgressPrice:
    try:
        price = EgressPrice(
            platform=line["platform"],
            region=line["region"],
            usd_per_gb=float(line["usd_per_gb"]),
            as_of=date.fromisoformat(line["as_of"]),
            source=line["source"],
        )
        if not math.isfinite(price.usd_per_gb) or price.usd_per_gb < 0:
            raise ValueError(f"{price.usd_per_gb} is no price")
    except (TypeError, ValueError) as err:
        raise UsageError(
            f"plan: {where} cannot be read", details=str(err), resolution=f"restore the file: `git checkout {EGRESS}`"
        ) from err
    if not price.source:
        raise UsageError(
            f"plan: {where} has no source", resolution="give the row a source (docs/prices.md), or delete it"
        )
    return price


def _rented_gib(run_file: RunFile, model_bytes: int) -> float:
    """Return the disk that is rented: what is asked for, or what is needed if that is more."""
    is_gguf = run_file.model.base_model.endswith(".gguf")
    needed_gib = disk_needed_gib(run_file, model_bytes=model_bytes, is_gguf=is_gguf, environment_cached=False)
    return float(rented_disk_gib(run_file, needed_gib))
