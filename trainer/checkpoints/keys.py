"""The credentials of a store on the machine that trains: what its runner has brought, and what serves after their end.

A runner renews them as long as it is there. When it is gone they end, and training may go on: where the machine has
rights of its own in the account (an instance profile on AWS), boto3 asks its metadata service for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

ENDS_AT = "DOUSE_STORE_KEYS_END"
"""When credentials end (ISO 8601). Not by AWS's own name, by which boto3 looks for new ones where it found them."""
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", ENDS_AT)
SPARE = timedelta(minutes=1)
"""So long before their end they are no longer used: an upload that has begun goes on with them."""


def keys_that_serve(brought: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Return the credentials to use on a machine that has rights of its own.

    Args:
        brought: What the runner has brought, by the names of variables.
        now: The time (UTC).

    Returns:
        What was brought, as long as it lasts; then all of it but the keys, so that boto3 looks for the machine's own.
    """
    if not _is_over(brought.get(ENDS_AT, ""), now):
        return dict(brought)
    return {name: value for name, value in brought.items() if name not in SECRETS}


def _is_over(ends_at: str, now: datetime) -> bool:
    """Return whether a time has come; one that cannot be read has not: the store refuses in its own words."""
    try:
        end = datetime.fromisoformat(ends_at)
    except ValueError:
        return False
    return now >= (end if end.tzinfo is not None else end.replace(tzinfo=UTC)) - SPARE
