"""Whether an AWS account has a network in which a machine can stand: VPC, subnet, zone. Nothing is created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runner.cloud_api.models import Offer, Placement
from runner.clouds.aws.listing import entries, required
from runner.errors import NotFoundError

if TYPE_CHECKING:
    from runner.clouds.aws.section import AwsSection

MOST_NAMES = 100


def places_in(client: Any, region: str, offers: Sequence[Offer], section: AwsSection | None) -> dict[Offer, Placement]:
    """Return whether one region has a place for each of these machines, as the root module is going to choose it.

    Args:
        client: boto3's EC2 client for the region.
        region: The region.
        offers: Machines there.
        section: ``compute.aws``, if the run file has it.

    Raises:
        CloudError: If AWS does not answer, or its answer cannot be read.
    """
    vpc_id = None if section is None else section.vpc_id
    subnet_id = None if section is None else section.subnet_id
    found = _subnets(client, region, vpc_id, subnet_id)
    if isinstance(found, str):
        return dict.fromkeys(offers, Placement(obstacle=found))
    zones = _zones(client, region, sorted({offer.instance_type for offer in offers}))
    # Without a VPC or a subnet of one's own AWS gives a public address, and chooses among the subnets itself.
    is_given = section is not None and (vpc_id, subnet_id) != (None, None)
    where = subnet_id or vpc_id or f"the default VPC of {region}"
    return {offer: _placement(found, zones.get(offer.instance_type, set()), offer, where, is_given) for offer in offers}


def _subnets(client: Any, region: str, vpc_id: str | None, subnet_id: str | None) -> list[Mapping[str, Any]] | str:
    """Return the subnets that a machine may be put in, or why there is none."""
    doing = f"look for a network in {region}"
    try:
        if subnet_id is not None:
            found = list(entries(client, "describe_subnets", "Subnets", doing, SubnetIds=[subnet_id]))
            others = {str(required(one, "VpcId", doing)) for one in found} - {vpc_id}
            return f"{subnet_id} belongs to {others.pop()}, not to {vpc_id}" if vpc_id and others else found
        wanted = {"VpcIds": [vpc_id]} if vpc_id else {"Filters": [{"Name": "is-default", "Values": ["true"]}]}
        vpcs = list(entries(client, "describe_vpcs", "Vpcs", doing, **wanted))
    except NotFoundError:
        return f"there is no {subnet_id or vpc_id} in {region}"
    if not vpcs:
        return f"the account has no default VPC in {region}"
    in_vpc = [{"Name": "vpc-id", "Values": [str(required(vpcs[0], "VpcId", doing))]}]
    return list(entries(client, "describe_subnets", "Subnets", doing, Filters=in_vpc))


def _zones(client: Any, region: str, names: Sequence[str]) -> dict[str, set[str]]:
    """Return the zones that offer each kind of machine."""
    doing = f"list the zones of {region} that offer the machines"
    zones: dict[str, set[str]] = {name: set() for name in names}
    for start in range(0, len(names), MOST_NAMES):
        wanted = [{"Name": "instance-type", "Values": list(names[start : start + MOST_NAMES])}]
        asked = {"LocationType": "availability-zone", "Filters": wanted}
        for entry in entries(client, "describe_instance_type_offerings", "InstanceTypeOfferings", doing, **asked):
            zones[str(required(entry, "InstanceType", doing))].add(str(required(entry, "Location", doing)))
    return zones


def _placement(
    subnets: Sequence[Mapping[str, Any]], zones: set[str], offer: Offer, where: str, is_given: bool
) -> Placement:
    """Return whether one of the subnets will do for a machine."""
    fitting = sorted(
        (one for one in subnets if one.get("AvailabilityZone") in zones), key=lambda one: str(one.get("SubnetId", ""))
    )
    if not subnets:
        return Placement(obstacle=f"{where} has no subnet")
    if not fitting:
        here = ", ".join(sorted({str(one.get("AvailabilityZone", "")) for one in subnets}))
        return Placement(obstacle=f"{where} is in {here}, and {offer.instance_type} is not offered there")
    first = fitting[0]  # the root module takes it
    if is_given and first.get("AvailableIpAddressCount") == 0:
        return Placement(obstacle=f"{first.get('SubnetId')} has no free address")
    if is_given and first.get("MapPublicIpOnLaunch") is False:
        return Placement(remark=f"{first.get('SubnetId')} gives no public address; the private one is used")
    return Placement()
