"""What machines in one region of AWS cost, and their disks, which EBS bills apart: by AWS's price list, or ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runner.cloud_api.models import Listing, Resource
from runner.clouds.aws.listing import CLOUD, entries, listing_in
from runner.clouds.aws.pricing import RegionPrices
from runner.errors import CloudError
from runner.prices.price_list import HOURS_PER_MONTH, disk_usd_per_h, listed_price

RENTED_TYPE = "gp3"
"""The type of volume that Douse rents, and the one that the dated list has a price of."""
BY_SIZE = ("gp2", RENTED_TYPE, "sc1", "st1")
"""Types that are billed by their size; the others bill requests or speed besides."""
FREE_IOPS, FREE_MIB_PER_S = 3000, 125
"""What comes with a gp3 volume; more is billed besides."""


def priced_listing_in(client: Any, region: str, prices: Callable[[], RegionPrices]) -> Listing:
    """Return all Douse resources in one region, its machines with what all volumes that are attached to them cost.

    A volume of the machine's image is one of them. What cannot be read costs an unknown amount, and hides no machine.

    Args:
        client: boto3's EC2 client for the region.
        region: The region.
        prices: Asks for the region's prices; it is called only where there is a machine.

    Raises:
        CloudError: If no kind of thing in it could be read.
    """

    def price_of(instance_type: str) -> float | None:
        row = listed_price(CLOUD, instance_type, region)
        return prices().on_demand.get(instance_type, row.price_usd_per_h if row else None)

    found = listing_in(client, region, price_of)
    machines = [one for one in found.resources if one.kind == "instance"]
    others = [one for one in found.resources if one.kind != "instance"]
    priced = _with_disks(client, region, machines, prices()) if machines else []
    return replace(found, resources=[*priced, *others])


def _with_disks(client: Any, region: str, machines: Sequence[Resource], prices: RegionPrices) -> list[Resource]:
    attached = [{"Name": "attachment.instance-id", "Values": [one.id for one in machines]}]
    doing = f"list the disks of machines in {region}"
    try:
        volumes = list(entries(client, "describe_volumes", "Volumes", doing, Filters=attached))
    except CloudError:
        volumes = []
    return [replace(one, disk_usd_per_h=_usd_per_h(one.id, region, volumes, prices)) for one in machines]


def _usd_per_h(
    machine_id: str, region: str, volumes: Sequence[Mapping[str, Any]], prices: RegionPrices
) -> float | None:
    """Return the price of a machine's volumes; ``None`` where one has no known price, or none is shown (yet)."""
    own = [one for one in volumes if machine_id in [to.get("InstanceId") for to in one.get("Attachments") or ()]]
    each = [_volume_usd_per_h(one, region, prices) for one in own]
    known = [price for price in each if price is not None]
    return sum(known) if known and len(known) == len(each) else None


def _volume_usd_per_h(volume: Mapping[str, Any], region: str, prices: RegionPrices) -> float | None:
    """Return the price of one volume, or ``None`` where it is not billed by its size alone, or nobody knows it."""
    size, kind = volume.get("Size"), volume.get("VolumeType")
    is_faster = (volume.get("Iops") or 0) > FREE_IOPS or (volume.get("Throughput") or 0) > FREE_MIB_PER_S
    if not isinstance(size, int) or kind not in BY_SIZE or (kind == RENTED_TYPE and is_faster):
        return None
    if kind in prices.volumes:
        return size * prices.volumes[kind] / HOURS_PER_MONTH
    return disk_usd_per_h(CLOUD, region, size) if kind == RENTED_TYPE else None
