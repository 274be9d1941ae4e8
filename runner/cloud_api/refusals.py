"""A cloud's "no" as one of the runner's errors: what a status means, and the words for it. Codes are each cloud's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from runner.cloud_api.answers import Answer, unreadable
from runner.errors import (
    AccessDeniedError,
    AccountError,
    BadRequestError,
    CloudError,
    CloudUnavailableError,
    NotFoundError,
    RateLimitedError,
)


class Meaning(NamedTuple):
    """What a code means: the error, and what a person can do."""

    error: type[CloudError]
    resolution: str


TRY_ANOTHER = "try another instance type or region, or later"
ASK_DIFFERENTLY = "change what is asked for; the cloud's own words say what it does not take"
WAIT = "see the cloud's status page and ask again; look whether what was asked for has happened"
NOTHING_THERE = "list what there is: the id is wrong, or it is gone"
KEY = "check the API key in the cloud's console"
BILLING = "put the account right in the cloud's console: billing, address, balance"
QUOTA = "end what is not needed, or have the quota raised in the cloud's console"
SCOPE = "use an API key that may do this, or choose another machine"

STATUSES: Mapping[int, Meaning] = {
    400: Meaning(BadRequestError, ASK_DIFFERENTLY),
    401: Meaning(AccountError, KEY),
    402: Meaning(AccountError, BILLING),
    403: Meaning(AccessDeniedError, SCOPE),
    404: Meaning(NotFoundError, NOTHING_THERE),
    408: Meaning(CloudUnavailableError, WAIT),
    409: Meaning(BadRequestError, "wait until the machine has settled, then ask again"),
    422: Meaning(BadRequestError, "report this to Douse: the cloud's schema of the request has changed"),
    425: Meaning(CloudUnavailableError, WAIT),
    429: Meaning(RateLimitedError, "run fewer things at a time on this account"),
}
"""What a status means where there is no code, or an unknown one; the rest goes by its hundred."""


def by_status(cloud: str, answer: Answer, doing: str) -> CloudError:
    """Return the error for a body that is not the cloud's own; somebody else's 404 says nothing about a thing."""
    if answer.status == 404:
        return unreadable(cloud, doing, "a 404 that is not the cloud's own; is the endpoint right?", answer)
    return error_from(meaning_of(answer.status), cloud, doing, answer.text, status=answer.status)


def meaning_of(status: int) -> Meaning:
    """Return what a status means where no code says more."""
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500:
        return Meaning(CloudUnavailableError, WAIT)
    return Meaning(BadRequestError, ASK_DIFFERENTLY if status >= 400 else "check the endpoint: it sends us elsewhere")


def error_from(
    meaning: Meaning, cloud: str, doing: str, told: str, *, code: str | None = None, status: int | None = None
) -> CloudError:
    """Return the error of a meaning, with the cloud's own words.

    Args:
        meaning: What the cloud's answer means.
        cloud: Name of the cloud.
        doing: What was tried, like ``launch it``.
        told: The cloud's own words.
        code: The cloud's code, if it gave one.
        status: HTTP status of the answer, if there was one.
    """
    words = " ".join(told.split())[:500]
    label = " ".join(str(part) for part in (status, code) if part is not None)
    first = words.split(". ")[0].rstrip(".")[:160] or "no reason given"
    return meaning.error(
        f"{cloud}: cannot {doing}: {first} ({label})",
        details=words or None,
        resolution=meaning.resolution,
        code=code,
        status=status,
    )
