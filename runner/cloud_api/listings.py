"""How a listing of an account is put together, so that what cannot be read hides nothing of ours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from runner.cloud_api.labels import is_ours_if_read, run_of, without_lease
from runner.cloud_api.models import Kind, Listing, Resource
from runner.errors import CloudError, CloudUnavailableError, UnreadableAnswerError

Entry = TypeVar("Entry")
Wanted = Callable[[str | None, Mapping[str, str] | None], bool | None]
"""Returns whether an entry is looked for, by its name and its tags, each ``None`` where it cannot be read; it returns
``None`` where that cannot be said."""


def gather(parts: Iterable[Callable[[], Listing]], *, one_server: bool = False) -> Listing:
    """Return what all parts of an account list; one that fails is unread, and the others count.

    Args:
        parts: Each lists a part, a kind of thing or a region.
        one_server: Whether one server answers for all parts: once it does not answer at all, it is not asked on, for
            each silence costs minutes of patience.

    Raises:
        CloudError: If no part could be read: the first one's.
    """
    resources: list[Resource] = []
    unread: list[CloudError] = []
    is_read = False
    for list_part in parts:
        try:
            part = list_part()
        except CloudError as err:
            unread.append(err)
            if one_server and _is_silence(err):
                break
            continue
        is_read = True
        resources += part.resources
        unread += part.unread
    if unread and not is_read:
        raise unread[0]
    return Listing(resources, unread)


def judged(entries: Iterable[Entry], judge: Callable[[Entry], Resource | None]) -> Listing:
    """Return what of a list is ours; an entry, or a later page, that cannot be read hides nothing of the rest.

    Args:
        entries: The list, page after page.
        judge: Returns the resource that an entry is, ``None`` for one that is none of ours or gone; it raises
            ``UnreadableAnswerError`` where that cannot be said.

    Raises:
        CloudError: If the list breaks off before its first entry.
    """
    resources: list[Resource] = []
    unread: list[CloudError] = []
    is_begun = False
    try:
        for entry in entries:
            is_begun = True
            try:
                found = judge(entry)
            except UnreadableAnswerError as err:
                unread.append(err)
                continue
            resources += [] if found is None else [found]
    except CloudError as err:
        if not is_begun:
            raise
        unread.append(err)
    return Listing(resources, unread)


def wanted_id(entry_id: object, is_wanted: bool | None, *, cloud: str, doing: str) -> str | None:
    """Return the id of an entry that is wanted, or ``None`` for one that is not.

    Args:
        entry_id: What the entry has as its id.
        is_wanted: Whether it is wanted, or ``None`` where that cannot be said.
        cloud: Name of the cloud.
        doing: What is asked for, like ``list the pods``.

    Raises:
        UnreadableAnswerError: If that cannot be said, or the entry has no id that could be terminated.
    """
    if not isinstance(entry_id, str) or not entry_id:
        raise _unknown(cloud, doing, "an entry has no id that can be read")
    if is_wanted is None:
        raise _unknown(cloud, doing, f"whether {entry_id} is Douse's cannot be read from its name and labels")
    return entry_id if is_wanted else None


def untagged(
    kind: Kind,
    entry_id: object,
    entry_name: object,
    region: str | None,
    *,
    cloud: str,
    doing: str,
    price_usd_per_h: float | None = None,
) -> Resource | None:
    """Return the resource that an entry without tags is, by its name, or ``None`` for one that is not ours.

    Args:
        kind: What it is.
        entry_id: What the entry has as its id.
        entry_name: What the entry has as its name.
        region: Where it is, or ``None`` for what has no place.
        cloud: Name of the cloud.
        doing: What is asked for, like ``list the SSH keys``.
        price_usd_per_h: What it costs in US dollars an hour, 0 for what is free, ``None`` where it is unknown.

    Raises:
        UnreadableAnswerError: If neither can be said; see ``wanted_id``.
    """
    name = text_or_none(entry_name)
    found = wanted_id(entry_id, is_ours_if_read(name, {}), cloud=cloud, doing=doing)
    if found is None or name is None:
        return None
    return Resource(cloud, kind, found, name, region, run_of(name, {}), None, price_usd_per_h=price_usd_per_h)


def is_named(wanted: str) -> Wanted:
    """Return what looks for the entries of one name, whatever end of a lease is written behind it."""
    return lambda name, tags: None if name is None else without_lease(name, tags or {})[0] == wanted


def text_or_none(value: object) -> str | None:
    """Return a value that is a text, or ``None``."""
    return value if isinstance(value, str) else None


def price_or_none(value: object) -> float | None:
    """Return a value that can be a price in US dollars, or ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= sys.float_info.max else None


def _unknown(cloud: str, doing: str, reason: str) -> UnreadableAnswerError:
    return UnreadableAnswerError(
        f"{cloud}: cannot {doing} to the last: {reason}",
        resolution=f"look in {cloud}'s console (docs/clouds/), and update Douse (`git pull`)",
    )


def _is_silence(err: CloudError) -> bool:
    return isinstance(err, CloudUnavailableError) and err.status is None
