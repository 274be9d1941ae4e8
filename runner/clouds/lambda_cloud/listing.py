"""What of Lambda's lists is Douse's: whose an entry is has to be readable, and all else about it may be odd."""

from __future__ import annotations

from collections.abc import Mapping

from runner.cloud_api.answers import read_entry
from runner.cloud_api.labels import RUN_TAG, expiry_of, is_ours_if_read, odd_expiry_of, run_of, without_lease
from runner.cloud_api.listings import Wanted, price_or_none, text_or_none, untagged, wanted_id
from runner.cloud_api.models import Resource, Status
from runner.clouds.lambda_cloud.messages import GONE, Instance, ListedFileSystem, ListedInstance, ListedKey
from runner.errors import UnreadableAnswerError

CLOUD = "lambda"
LIST_MACHINES, LIST_KEYS, LIST_VOLUMES = "list the machines", "list the SSH keys", "list the file systems"
STATUS: dict[str, Status] = {
    "booting": "pending",
    "active": "running",
    "unhealthy": "running",  # it is billed all the same
    "terminating": "ending",
}


def machine_in(entry: object, is_wanted: Wanted = is_ours_if_read) -> Resource | None:
    """Return the machine that an entry of the list is, or ``None`` for one that is not wanted or gone for good.

    Raises:
        UnreadableAnswerError: If neither can be said.
    """
    found = read_entry(ListedInstance, entry, cloud=CLOUD, doing=LIST_MACHINES)
    name = "" if found.name is None and _is_as_promised(entry) else text_or_none(found.name)
    status, marks = text_or_none(found.status), _marks(found.tags)
    if status in GONE:
        return None
    machine_id = wanted_id(found.id, is_wanted(name, marks), cloud=CLOUD, doing=LIST_MACHINES)
    if machine_id is None:
        return None
    cents = found.instance_type.get("price_cents_per_hour") if isinstance(found.instance_type, dict) else None
    price = price_or_none(cents)
    plain, lease_until = without_lease(name or "", marks or {})
    return Resource(
        cloud=CLOUD,
        kind="instance",
        id=machine_id,
        name=plain,
        region=_region(found.region),
        run_id=run_of(plain, marks or {}),
        expires_at=expiry_of(marks or {}),
        odd_expiry=odd_expiry_of(marks or {}),
        status=STATUS.get(status or "", "unknown"),
        address=text_or_none(found.ip),
        price_usd_per_h=None if price is None else price / 100,
        lease_until=lease_until,
    )


def key_in(entry: object) -> Resource | None:
    """Return the key that an entry of the list is, or ``None`` for one that is not ours.

    Raises:
        UnreadableAnswerError: If neither can be said.
    """
    key = read_entry(ListedKey, entry, cloud=CLOUD, doing=LIST_KEYS)
    return untagged("key", key.id, key.name, None, cloud=CLOUD, doing=LIST_KEYS, price_usd_per_h=0.0)


def volume_in(entry: object) -> Resource | None:
    """Return the file system that an entry of the list is, or ``None`` for one that is not ours.

    Raises:
        UnreadableAnswerError: If neither can be said.
    """
    disk = read_entry(ListedFileSystem, entry, cloud=CLOUD, doing=LIST_VOLUMES)
    return untagged("volume", disk.id, disk.name, _region(disk.region), cloud=CLOUD, doing=LIST_VOLUMES)


def _is_as_promised(entry: object) -> bool:
    """Return whether all else about a machine can be read: then one without a name has none, and it was not renamed."""
    try:
        read_entry(Instance, entry, cloud=CLOUD, doing=LIST_MACHINES)
    except UnreadableAnswerError:
        return False
    return True


def _marks(tags: object) -> Mapping[str, str] | None:
    """Return a machine's tags, or ``None`` where they cannot all be read and none of the others is ours."""
    if tags is None:
        return {}
    if not isinstance(tags, list):
        return None
    read = [
        (tag["key"], tag["value"])
        for tag in tags
        if isinstance(tag, dict) and isinstance(tag.get("key"), str) and isinstance(tag.get("value"), str)
    ]
    marks = dict(read)
    return marks if RUN_TAG in marks or len(read) == len(tags) else None


def _region(region: object) -> str | None:
    return text_or_none(region.get("name")) if isinstance(region, dict) else None
