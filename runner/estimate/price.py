"""What machines cost by the dated price lists, for estimates that need no account and no network."""

from __future__ import annotations

from runner.clouds.models import Offer
from runner.clouds.price_list import ListedPrice, listed_price, price_list


def price_of(cloud: str, instance_type: str, region: str) -> ListedPrice | None:
    """Return the listed on-demand price of a machine with its date and source, or ``None`` where none is known.

    Raises:
        UsageError: If there is no price list for the cloud.
    """
    return listed_price(cloud, instance_type, region)


def listed_offers(cloud: str) -> list[Offer]:
    """Return the price list as offers, cheapest first; whether a machine can be had is unknown.

    Raises:
        UsageError: If there is no price list for the cloud.
    """
    offers = [
        Offer(
            instance_type=row.instance_type,
            region=row.region,
            spot=False,
            price_usd_per_h=row.price_usd_per_h,
            gpu_name=row.gpu_name,
            gpu_count=row.gpu_count,
            gpu_memory_gib=row.gpu_memory_gib,
            memory_gib=row.memory_gib,
        )
        for row in price_list(cloud)
    ]
    return sorted(offers, key=lambda offer: (offer.price_usd_per_h, offer.instance_type, offer.region))
