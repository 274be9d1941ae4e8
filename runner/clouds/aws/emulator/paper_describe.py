"""What an AWS account on paper shows of its EC2: the answers as botocore would have parsed them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from runner.clouds.aws.emulator.paper_account import Instance, Item, PaperAccount, Tags
from runner.clouds.aws.emulator.paper_kinds import instance_types
from runner.clouds.aws.emulator.paper_words import Refused
from runner.clouds.aws.emulator.refusing import EMPTY_PAGE, INTERNAL, LIMITED
from runner.clouds.aws.emulator.seed import IMAGES, price_usd_per_h

Asked = Mapping[str, Any]
Shown = dict[str, Any]
IMAGE_GIB = 15
VPC = "vpc-0d0c5e00000000001"


def instances(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DescribeInstances``."""
    wanted, found = asked.get("InstanceIds", ()), list(account.here(region))
    missing = [one for one in wanted if one not in [made.machine.id for made in found]]
    if missing:
        raise Refused(400, "InvalidInstanceID.NotFound", f"The instance ID '{missing[0]}' does not exist")
    if account.polls_to_limit and any(not made.machine.is_ended for made in account.instances.values()):
        account.polls_to_limit -= 1
        raise Refused(*LIMITED)
    if wanted:
        named = [made for made in found if made.machine.id in wanted]
        return {"Reservations": [_reservation(account, made) for made in named]}
    return _listed(account, region, asked, found)


def _listed(account: PaperAccount, region: str, asked: Asked, found: Sequence[Instance]) -> Shown:
    """Answer with a page of a list, unless a fault has it otherwise."""
    state = account.state
    if state.fault("listing_500", "aws", region) is not None:
        raise Refused(*INTERNAL)
    token = asked.get("NextToken")
    if token is None and state.fault("listing_partial_page", "aws", region) is not None:
        return {"Reservations": [], "NextToken": EMPTY_PAGE}
    size = 1 if state.fault("listing_pages", "aws", region) is not None else int(account.settings["page_size"])
    begin = 0 if token in (None, EMPTY_PAGE) else int(token)
    ours = [made for made in found if _fits(asked, {"tag-key": list(made.tags)})]
    rows = [_reservation(account, made) for made in ours[begin : begin + size]]
    page: Shown = {"Reservations": rows}
    if begin + size < len(ours):
        page["NextToken"] = str(begin + size)
    if state.fault("listing_empty_body", "aws", region) is not None:
        return {}
    if state.fault("listing_schema_changed", "aws", region) is not None:
        del page["Reservations"]
    return page


def volumes(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DescribeVolumes``: the disks of instances, and what lies alone."""
    own = [made for made in account.instances.values() if made.machine.region == region and not made.machine.is_ended]
    attached = [_disk(made) for made in own if _fits(asked, _marks(made.volume_tags, made.machine.id))]
    alone = [
        {"VolumeId": item.row.id, "State": "available", "Attachments": [], **_tagged(item.tags), **item.detail}
        for item in account.of("volume", region)
        if _fits(asked, _marks(item.tags))
    ]
    return {"Volumes": [*attached, *alone]}


def addresses(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DescribeAddresses``."""
    return {"Addresses": _items(account.of("address", region), asked, "AllocationId", None)}


def security_groups(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DescribeSecurityGroups``."""
    found = _named(account.of("security_group", region), asked.get("GroupIds"), "InvalidGroup.NotFound")
    return {"SecurityGroups": _items(found, asked, "GroupId", "GroupName")}


def key_pairs(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DescribeKeyPairs``."""
    found, names = account.of("key", region), asked.get("KeyNames")
    if names is not None:
        found = [item for item in found if item.row.name in names]
        if not found:
            raise Refused(400, "InvalidKeyPair.NotFound", f"The key pair '{names[0]}' does not exist")
    return {"KeyPairs": _items(found, asked, "KeyPairId", "KeyName")}


def tags(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DescribeTags``, of instances alone."""
    marked = [(made.machine.id, key, value) for made in account.here(region) for key, value in made.tags.items()]
    rows = [
        {"ResourceId": found, "ResourceType": "instance", "Key": key, "Value": value}
        for found, key, value in marked
        if _fits(asked, {"resource-id": [found], "key": [key]})
    ]
    return {"Tags": rows}


def spot_requests(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DescribeSpotInstanceRequests``: those that launches make carry no tags, so none is listed by one."""
    spot = [made for made in account.here(region) if made.machine.spot]
    rows = [{"SpotInstanceRequestId": f"sir-{made.machine.id[2:10]}", "State": "active", "Tags": []} for made in spot]
    return {"SpotInstanceRequests": [row for row in rows if _fits(asked, {"tag-key": []})]}


def types(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DescribeInstanceTypes``."""
    del account, region
    return {
        "InstanceTypes": [one for one in instance_types() if _fits(asked, {"instance-type": [one["InstanceType"]]})]
    }


def offerings(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DescribeInstanceTypeOfferings``."""
    names = [one["InstanceType"] for one in types(account, region, asked)["InstanceTypes"]]
    by_zone = asked["LocationType"] == "availability-zone"
    where = [f"{region}{letter}" for letter in "abcdef"] if by_zone else [region]
    rows = [
        {"InstanceType": name, "LocationType": asked["LocationType"], "Location": at} for name in names for at in where
    ]
    return {"InstanceTypeOfferings": rows}


def spot_prices(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DescribeSpotPriceHistory``."""
    del account
    rows = [
        {"InstanceType": name, "AvailabilityZone": f"{region}a", "SpotPrice": f"{price_usd_per_h(name, spot=True):.6f}"}
        for name in asked["InstanceTypes"]
    ]
    return {"SpotPriceHistory": rows}


def images(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DescribeImages``."""
    del account, region
    disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": IMAGE_GIB}}
    rows = [
        {"ImageId": image, "Architecture": "x86_64", "RootDeviceType": "ebs", "BlockDeviceMappings": [disk]}
        for image, _, _ in IMAGES.values()
        if _fits(asked, {"image-id": [image]})
    ]
    return {"Images": rows}


def vpcs(account: PaperAccount, region: str, asked: Asked) -> Shown:
    """Answer ``DescribeVpcs``: there is the default one."""
    del account, region
    return {"Vpcs": [{"VpcId": VPC, "IsDefault": True}] if _fits(asked, {"is-default": ["true"]}) else []}


DESCRIBED: Mapping[str, Callable[[PaperAccount, str, Asked], Shown]] = {
    "DescribeInstances": instances,
    "DescribeVolumes": volumes,
    "DescribeAddresses": addresses,
    "DescribeSecurityGroups": security_groups,
    "DescribeKeyPairs": key_pairs,
    "DescribeTags": tags,
    "DescribeSpotInstanceRequests": spot_requests,
    "DescribeInstanceTypes": types,
    "DescribeInstanceTypeOfferings": offerings,
    "DescribeSpotPriceHistory": spot_prices,
    "DescribeImages": images,
    "DescribeVpcs": vpcs,
}


def _fits(asked: Asked, marks: Mapping[str, Sequence[str]]) -> bool:
    """Return whether a resource passes all filters of a request; one by what it does not have leaves it out."""
    return all(
        any(fnmatchcase(mark, value) for mark in marks.get(wanted["Name"], ()) for value in wanted["Values"])
        for wanted in asked.get("Filters", ())
    )


def _marks(tags: Tags, *attached: str) -> dict[str, list[str]]:
    return {"tag-key": list(tags), "attachment.instance-id": list(attached)}


def _tagged(tags: Tags) -> Shown:
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _items(found: Iterable[Item], asked: Asked, id_key: str, name_key: str | None) -> list[Shown]:
    fitting = [item for item in found if _fits(asked, _marks(item.tags))]
    named = {} if name_key is None else {item.row.id: {name_key: item.row.name} for item in fitting}
    return [{id_key: item.row.id, **named.get(item.row.id, {}), **_tagged(item.tags)} for item in fitting]


def _named(found: list[Item], ids: Sequence[str] | None, missing: str) -> list[Item]:
    if ids is None:
        return found
    named = [item for item in found if item.row.id in ids]
    if not named:
        raise Refused(400, missing, f"'{ids[0]}' does not exist")
    return named


def _reservation(account: PaperAccount, made: Instance) -> Shown:
    return {"Instances": [described(account, made)]}


def described(account: PaperAccount, made: Instance) -> Shown:
    """Return an instance as EC2 describes it, as far as our client and Terraform read it."""
    machine, status = made.machine, account.status(made.machine)
    is_up = machine.address is not None and status in ("pending", "running", "shutting-down")
    shown: Shown = {
        "InstanceId": machine.id,
        "InstanceType": machine.instance_type,
        "State": {"Name": status},
        "SecurityGroups": [{"GroupId": group} for group in made.groups],
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeId": made.volume_id}}],
        **_tagged(made.tags),
    }
    if machine.spot:
        shown["InstanceLifecycle"] = "spot"
    if is_up and machine.address is not None:
        shown["PublicIpAddress"] = machine.address.host
    return shown


def _disk(made: Instance) -> Shown:
    return {
        "VolumeId": made.volume_id,
        "State": "in-use",
        "Size": made.volume_gib,
        "VolumeType": "gp3",
        "Attachments": [{"InstanceId": made.machine.id}],
        **_tagged(made.volume_tags),
    }
