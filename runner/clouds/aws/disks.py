"""What the disks of machines in one region of AWS cost: EBS bills them apart from the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from runner.cloud_api.models import Listing, Resource
from runner.clouds.aws.listing import CLOUD, entries, listing_in
from runner.errors import CloudError
from runner.prices.price_list import disk_usd_per_h

PRICED_TYPE = "gp3"
"""The price list has the price of one type of volume, the one that Douse rents."""


def priced_listing_in(client: Any, region: str) -> Listing:
    """Return all Douse resources in one region, its machines with what all volumes that are attached to them cost.

    A volume of the machine's image is one of them. What cannot be read costs an unknown amount, and hides no machine.

    Args:
        client: boto3's EC2 client for the region.
        region: The region.

    Raises:
        CloudError: If no kind of thing in it could be read.
    """
    found = listing_in(client, region)
    machines = [one for one in found.resources if one.kind == "instance"]
    others = [one for one in found.resources if one.kind != "instance"]
    return replace(found, resources=[*_with_disks(client, region, machines), *others])


def _with_disks(client: Any, region: str, machines: Sequence[Resource]) -> list[Resource]:
    if not machines:
        return []
    attached = [{"Name": "attachment.instance-id", "Values": [one.id for one in machines]}]
    doing = f"list the disks of machines in {region}"
    try:
        volumes = list(entries(client, "describe_volumes", "Volumes", doing, Filters=attached))
    except CloudError:
        volumes = []
    return [replace(one, disk_usd_per_h=_usd_per_h(one.id, region, volumes)) for one in machines]


def _usd_per_h(machine_id: str, region: str, volumes: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the price of a machine's volumes; ``None`` where one has no known price, or none is shown (yet)."""
    own = [one for one in volumes if machine_id in [to.get("InstanceId") for to in one.get("Attachments") or ()]]
    prices = [disk_usd_per_h(CLOUD, region, _gib(one)) for one in own]
    known = [price for price in prices if price is not None]
    return sum(known) if known and len(known) == len(prices) else None


def _gib(volume: Mapping[str, Any]) -> float | None:
    size = volume.get("Size")
    return float(size) if isinstance(size, int) and volume.get("VolumeType") == PRICED_TYPE else None
