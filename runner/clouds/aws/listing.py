"""What is Douse's in one region of AWS: one listing for each kind, read strictly to its last page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from runner.cloud_api.labels import RUN_TAG, expiry_of, run_of
from runner.cloud_api.listings import gather
from runner.cloud_api.models import Kind, Listing, Resource, Status
from runner.clouds.aws.refusals import aws_errors, unreadable
from runner.prices.price_list import listed_price

CLOUD = "aws"
STATUSES: Mapping[str, Status | None] = {
    "pending": "pending",
    "running": "running",
    "shutting-down": "ending",
    "stopping": "stopped",
    "stopped": "stopped",
    "terminated": None,
}
OPEN_REQUESTS = ("open", "active", "disabled")
OURS = [{"Name": "tag-key", "Values": [RUN_TAG]}]


def listing_in(client: Any, region: str) -> Listing:
    """Return all Douse resources in one region, and what could not be read of it.

    Args:
        client: boto3's EC2 client for the region.
        region: The region.

    Raises:
        CloudError: If no kind of thing in it could be read.
    """
    return gather((partial(_listed, list_kind, client, region) for list_kind in _LISTINGS), one_server=True)


def entries(client: Any, operation: str, key: str, doing: str, **request: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of a listing, page after page.

    Args:
        client: boto3's client.
        operation: The client's method.
        key: Where an answer keeps its entries; an answer without it is no answer.
        doing: What is tried, for messages.
        request: The request.

    Raises:
        CloudError: If a page cannot be had, or is not what the API's description says.
    """
    with aws_errors(doing):
        pages = (
            client.get_paginator(operation).paginate(**request)
            if client.can_paginate(operation)
            else [getattr(client, operation)(**request)]
        )
        for page in pages:
            found = page.get(key)
            if not isinstance(found, list):
                raise unreadable(doing, f"{operation} answered without {key}")
            yield from found


def required(entry: Mapping[str, Any], key: str, doing: str) -> Any:
    """Return the fields that every entry of a kind has.

    Raises:
        UnreadableAnswerError: If it is missing.
    """
    if entry.get(key) in (None, ""):
        raise unreadable(doing, f"an entry without {key}: {sorted(entry)}")
    return entry[key]


def read_instance(entry: Mapping[str, Any], region: str, doing: str) -> Resource | None:
    """Return an instance as a resource, or ``None`` where it is terminated for good.

    Raises:
        UnreadableAnswerError: If it lacks its id or its state.
    """
    state = str(required(required(entry, "State", doing), "Name", doing))
    instance_id = str(required(entry, "InstanceId", doing))
    status = STATUSES.get(state, "unknown")
    if status is None:
        return None
    return _resource(
        "instance",
        instance_id,
        entry,
        region,
        status=status,
        address=entry.get("PublicIpAddress") or None,
        price_usd_per_h=_price(entry, region, status),
    )


def _listed(list_kind: Callable[[Any, str], Iterator[Resource]], client: Any, region: str) -> Listing:
    return Listing(list(list_kind(client, region)))


def _instances(client: Any, region: str) -> Iterator[Resource]:
    doing = f"list instances in {region}"
    for reservation in entries(client, "describe_instances", "Reservations", doing, Filters=OURS):
        for entry in required(reservation, "Instances", doing):
            resource = read_instance(entry, region, doing)
            if resource is not None:
                yield resource


def _spot_requests(client: Any, region: str) -> Iterator[Resource]:
    doing = f"list spot requests in {region}"
    for entry in entries(client, "describe_spot_instance_requests", "SpotInstanceRequests", doing, Filters=OURS):
        if required(entry, "State", doing) in OPEN_REQUESTS:
            yield _resource("spot_request", required(entry, "SpotInstanceRequestId", doing), entry, region, free=True)


def _volumes(client: Any, region: str) -> Iterator[Resource]:
    doing = f"list volumes in {region}"
    for entry in entries(client, "describe_volumes", "Volumes", doing, Filters=OURS):
        if required(entry, "State", doing) != "deleted":
            yield _resource("volume", required(entry, "VolumeId", doing), entry, region)


def _addresses(client: Any, region: str) -> Iterator[Resource]:
    doing = f"list elastic addresses in {region}"
    for entry in entries(client, "describe_addresses", "Addresses", doing, Filters=OURS):
        yield _resource("address", required(entry, "AllocationId", doing), entry, region)


def _security_groups(client: Any, region: str) -> Iterator[Resource]:
    doing = f"list security groups in {region}"
    for entry in entries(client, "describe_security_groups", "SecurityGroups", doing, Filters=OURS):
        name = required(entry, "GroupName", doing)
        yield _resource("security_group", required(entry, "GroupId", doing), entry, region, name=name, free=True)


def _keys(client: Any, region: str) -> Iterator[Resource]:
    doing = f"list key pairs in {region}"
    for entry in entries(client, "describe_key_pairs", "KeyPairs", doing, Filters=OURS):
        name = required(entry, "KeyName", doing)
        yield _resource("key", required(entry, "KeyPairId", doing), entry, region, name=name, free=True)


_LISTINGS: tuple[Callable[[Any, str], Iterator[Resource]], ...] = (
    _instances,
    _spot_requests,
    _volumes,
    _addresses,
    _security_groups,
    _keys,
)


def _resource(
    kind: Kind,
    resource_id: str,
    entry: Mapping[str, Any],
    region: str,
    *,
    name: str | None = None,
    status: Status | None = None,
    address: str | None = None,
    price_usd_per_h: float | None = None,
    free: bool = False,
) -> Resource:
    tags = {str(tag.get("Key", "")): str(tag.get("Value", "")) for tag in entry.get("Tags") or ()}
    called = name or tags.get("Name") or resource_id
    return Resource(
        cloud=CLOUD,
        kind=kind,
        id=resource_id,
        name=called,
        region=region,
        run_id=run_of(called, tags),
        expires_at=expiry_of(tags),
        status=status,
        address=address,
        price_usd_per_h=0.0 if free else price_usd_per_h,
    )


def _price(entry: Mapping[str, Any], region: str, status: Status) -> float | None:
    """Return the listed price of an on-demand machine that runs; a spot machine's price is not in its description."""
    if status not in ("pending", "running") or entry.get("InstanceLifecycle") == "spot":
        return None
    row = listed_price(CLOUD, str(entry.get("InstanceType", "")), region)
    return row.price_usd_per_h if row else None
