"""What is Douse's in one region of AWS: one listing for each kind, read strictly to its last page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from runner.cloud_api.labels import RUN_TAG, expiry_of, odd_expiry_of, run_of
from runner.cloud_api.listings import gather, judged
from runner.cloud_api.models import Kind, Listing, Resource, Status
from runner.clouds.aws.refusals import aws_errors, unreadable

CLOUD = "aws"
PriceOf = Callable[[str], float | None]
STATUSES: Mapping[str, Status | None] = {
    "pending": "pending",
    "running": "running",
    "shutting-down": "ending",
    "stopping": "stopped",
    "stopped": "stopped",
    "terminated": None,
}
OVER_REQUESTS = ("closed", "cancelled", "failed")
"""States of a spot request that brings no machine any more; one of a state that is not known here may."""
OURS = [{"Name": "tag-key", "Values": [RUN_TAG]}]


def listing_in(client: Any, region: str, price_of: PriceOf) -> Listing:
    """Return all Douse resources in one region, and what could not be read of it.

    Args:
        client: boto3's EC2 client for the region.
        region: The region.
        price_of: US dollars an hour of a kind of machine on demand there, or ``None`` where nobody knows.

    Raises:
        CloudError: If no kind of thing in it could be read.
    """
    machines = partial(_instances, client, region, price_of)
    return gather((machines, *(partial(list_kind, client, region) for list_kind in _LISTINGS)), one_server=True)


def entries(client: Any, operation: str, key: str, doing: str, **request: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of a listing, page after page; an odd one is empty, and so unread alone.

    Args:
        client: boto3's client.
        operation: The client's method.
        key: Where an answer keeps its entries; an answer without it is no answer.
        doing: What is tried, for messages.
        request: The request.

    Raises:
        CloudError: If a page cannot be had, or is not what the API's description says.
    """
    found = _entries(client, operation, key, doing, request)
    yield from (entry if isinstance(entry, Mapping) else {} for entry in found)


def texts(client: Any, operation: str, key: str, doing: str, **request: Any) -> Iterator[str]:
    """Yield the entries of a listing of texts; an odd one is empty. Arguments and errors are those of ``entries``."""
    found = _entries(client, operation, key, doing, request)
    yield from (entry if isinstance(entry, str) else "" for entry in found)


def _entries(client: Any, operation: str, key: str, doing: str, request: Mapping[str, Any]) -> Iterator[Any]:
    with aws_errors(doing):
        has_pages = client.can_paginate(operation)
        pages = (
            client.get_paginator(operation).paginate(**request)
            if has_pages
            else [getattr(client, operation)(**request)]
        )
        for page in pages:
            found = page.get(key)
            if not isinstance(found, list):
                raise unreadable(doing, f"{operation} answered without {key}")
            yield from found
            if not has_pages and page.get("NextToken"):
                raise unreadable(doing, f"{operation} has pages that boto3 does not follow")


def required(entry: Mapping[str, Any], key: str, doing: str) -> Any:
    """Return the fields that every entry of a kind has.

    Raises:
        UnreadableAnswerError: If it is missing.
    """
    if entry.get(key) in (None, ""):
        raise unreadable(doing, f"an entry without {key}: {sorted(entry)}")
    return entry[key]


def _machine(entry: Mapping[str, Any], region: str, doing: str, price_of: PriceOf) -> Resource | None:
    """Return an instance as a resource, or ``None`` where it is terminated for good.

    Raises:
        UnreadableAnswerError: If it lacks its id.
    """
    instance_id = str(required(entry, "InstanceId", doing))
    status = STATUSES.get(str(entry.get("State", {}).get("Name", "")), "unknown")
    if status is None:
        return None
    return _resource(
        "instance",
        instance_id,
        entry,
        region,
        status=status,
        address=entry.get("PublicIpAddress") or None,
        price_usd_per_h=_price(entry, status, price_of),
    )


def _instances(client: Any, region: str, price_of: PriceOf) -> Listing:
    doing = f"list instances in {region}"
    reservations = entries(client, "describe_instances", "Reservations", doing, Filters=OURS)
    # A reservation without instances stands for them: without an id it is unread.
    machines = (entry for reservation in reservations for entry in reservation.get("Instances") or (reservation,))
    return judged(machines, lambda entry: _machine(entry, region, doing, price_of))


def _spot_requests(client: Any, region: str) -> Listing:
    doing = f"list spot requests in {region}"

    def judge(entry: Mapping[str, Any]) -> Resource | None:
        request_id = required(entry, "SpotInstanceRequestId", doing)
        is_over = entry.get("State") in OVER_REQUESTS
        return None if is_over else _resource("spot_request", request_id, entry, region, free=True)

    operation, key = "describe_spot_instance_requests", "SpotInstanceRequests"
    return judged(entries(client, operation, key, doing, Filters=OURS), judge)


def _volumes(client: Any, region: str) -> Listing:
    doing = f"list volumes in {region}"

    def judge(entry: Mapping[str, Any]) -> Resource | None:
        volume_id = required(entry, "VolumeId", doing)
        return None if entry.get("State") == "deleted" else _resource("volume", volume_id, entry, region)

    return judged(entries(client, "describe_volumes", "Volumes", doing, Filters=OURS), judge)


def _addresses(client: Any, region: str) -> Listing:
    doing = f"list elastic addresses in {region}"
    return judged(
        entries(client, "describe_addresses", "Addresses", doing, Filters=OURS),
        lambda entry: _resource("address", required(entry, "AllocationId", doing), entry, region),
    )


def _security_groups(client: Any, region: str) -> Listing:
    doing = f"list security groups in {region}"

    def judge(entry: Mapping[str, Any]) -> Resource:
        group_id = required(entry, "GroupId", doing)
        return _resource("security_group", group_id, entry, region, name=entry.get("GroupName"), free=True)

    return judged(entries(client, "describe_security_groups", "SecurityGroups", doing, Filters=OURS), judge)


def _keys(client: Any, region: str) -> Listing:
    doing = f"list key pairs in {region}"

    def judge(entry: Mapping[str, Any]) -> Resource:
        key_id, name = required(entry, "KeyPairId", doing), required(entry, "KeyName", doing)  # by which it is deleted
        return _resource("key", key_id, entry, region, name=name, free=True)

    return judged(entries(client, "describe_key_pairs", "KeyPairs", doing, Filters=OURS), judge)


_LISTINGS: tuple[Callable[[Any, str], Listing], ...] = (
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
        odd_expiry=odd_expiry_of(tags),
        status=status,
        address=address,
        price_usd_per_h=0.0 if free else price_usd_per_h,
    )


def _price(entry: Mapping[str, Any], status: Status, price_of: PriceOf) -> float | None:
    """Return the price of an on-demand machine that runs; a spot machine's price is not in its description."""
    if status not in ("pending", "running") or entry.get("InstanceLifecycle") == "spot":
        return None
    return price_of(str(entry.get("InstanceType", "")))
