"""Our mark on everything that is created: tags, or the name where a cloud has no tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

RUN_TAG = "douse-run"
EXPIRES_TAG = "douse-expires"
EXPIRY_FORMS = ("%Y%m%dt%H%M%Sz", "%Y-%m-%dT%H:%M:%SZ")
"""The form that is written, which every cloud's labels take, and that of older versions."""
PREFIX = "douse-"
RUN_ID = re.compile(r"^\d{8}-\d{6}-[a-z0-9][a-z0-9-]{0,43}$")
LONGEST_NAME = 64
LEASE_MARK = "--"
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
MINUTE = timedelta(minutes=1)
LEASED = re.compile(rf"(?P<plain>{PREFIX}.+){LEASE_MARK}(?P<minute>[0-9a-z]{{5,6}})")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def resource_name(run_id: str) -> str:
    """Return the name of whatever is created for a run, at most 64 characters: no cloud of ours takes less.

    An id of an older version may have 60 characters; what does not fit is cut off its end. The tag or variable
    ``douse-run`` holds the whole of it wherever the cloud has such a thing.
    """
    return f"{PREFIX}{run_id}"[:LONGEST_NAME]


def leased_name(run_id: str, ends_at: datetime) -> str | None:
    """Return the name of a run's machine that says when its lease runs out, or ``None`` where it has no room for that.

    Args:
        run_id: The run. An id of an older version may be so long that no deadline fits behind it, and is never cut.
        ends_at: The deadline; the name holds the first whole minute that is not before it, counted from 1970.
    """
    minute = -((EPOCH - ends_at) // MINUTE)
    name = f"{PREFIX}{run_id}{LEASE_MARK}{_base_36(minute)}"
    return name if len(name) <= LONGEST_NAME else None


def without_lease(name: str, tags: Mapping[str, str]) -> tuple[str, datetime | None]:
    """Return a machine's name without the end of its lease, and that end; ``None`` where the name holds none.

    Args:
        name: The name as the cloud shows it.
        tags: Its tags. Where they name the run, a name that goes on otherwise than that run's holds no lease: an id of
            an older version may look like one.
    """
    found = LEASED.fullmatch(name)
    if found is None or found["plain"] != f"{PREFIX}{tags.get(RUN_TAG, found['plain'].removeprefix(PREFIX))}":
        return name, None
    return found["plain"], EPOCH + int(found["minute"], len(DIGITS)) * MINUTE


def is_ours(name: str, tags: Mapping[str, str]) -> bool:
    """Return whether a resource is Douse's."""
    return RUN_TAG in tags or name.startswith(PREFIX)


def is_ours_if_read(name: str | None, tags: Mapping[str, str] | None) -> bool | None:
    """Return whether an entry of a list is Douse's, or ``None`` where that cannot be said.

    Args:
        name: Its name, or ``None`` where it cannot be read.
        tags: Its tags, or ``None`` where they cannot be read.
    """
    if is_ours(name or "", tags or {}):
        return True
    return None if name is None or tags is None else False


def run_of(name: str, tags: Mapping[str, str]) -> str | None:
    """Return the id of the run a resource belongs to, from its tags, else from its name."""
    found = tags.get(RUN_TAG) or (name.removeprefix(PREFIX) if name.startswith(PREFIX) else "")
    return found if RUN_ID.match(found) else None


def belongs_to(run_id: str, found: str | None, name: str) -> bool:
    """Return whether a resource is of this run.

    Args:
        run_id: The run.
        found: The run that the resource's mark or name names, or ``None`` where none can be read from them.
        name: Its name. Where it was cut for an id of an older version, the id that it names is no whole one; else
            what is found counts, for the name of a longer id may have been cut to that of a shorter one.
    """
    if found == run_id:
        return True
    is_cut = len(PREFIX + run_id) > LONGEST_NAME
    return name == resource_name(run_id) and (found is None or (is_cut and name == PREFIX + found))


def expiry_of(tags: Mapping[str, str]) -> datetime | None:
    """Return when a resource's run has to be over, in UTC; ``None`` where its mark holds no date that can be read."""
    for form in EXPIRY_FORMS:
        try:
            return datetime.strptime(tags.get(EXPIRES_TAG, ""), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def expiry_mark(moment: str) -> str:
    """Return the mark for a time of day like 2026-11-21T18:00:00Z: in lower case without colons, as labels take it."""
    return moment.replace("-", "").replace(":", "").lower()


def odd_expiry_of(tags: Mapping[str, str]) -> str | None:
    """Return what stands in a mark where a date should, or ``None`` where one does, and where there is no such mark."""
    return None if expiry_of(tags) is not None else tags.get(EXPIRES_TAG)


def _base_36(number: int) -> str:
    rest, digit = divmod(number, len(DIGITS))
    return (_base_36(rest) if rest else "") + DIGITS[digit]
