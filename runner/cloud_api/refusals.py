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
ASK_DIFFERENTLY = "change section compute of the run file; the details quote what the cloud refuses"
WAIT = "see the cloud's status page; `make sweep` shows whether the request went through; then repeat the command"
NOTHING_THERE = "the id is wrong, or it is gone: `make sweep` lists what exists"
KEY = "check the API key in the cloud's console"
BILLING = "put the account right in the cloud's console: billing, address, balance"
QUOTA = "terminate what you do not need (`make sweep`), or request a higher quota in the cloud's console"
SCOPE = "use an API key that may do this, or choose another machine"

LONGEST_DOCTYPE = 15
"""Characters of a page that say that it is one."""

STATUSES: Mapping[int, Meaning] = {
    400: Meaning(BadRequestError, ASK_DIFFERENTLY),
    401: Meaning(AccountError, KEY),
    402: Meaning(AccountError, BILLING),
    403: Meaning(AccessDeniedError, SCOPE),
    404: Meaning(NotFoundError, NOTHING_THERE),
    408: Meaning(CloudUnavailableError, WAIT),
    409: Meaning(BadRequestError, "wait until the machine has settled, then repeat the command"),
    422: Meaning(
        BadRequestError, "the API has changed: update Douse (`git pull`), or terminate by hand (docs/clouds/)"
    ),
    425: Meaning(CloudUnavailableError, WAIT),
    429: Meaning(RateLimitedError, "run fewer runs at a time on this account"),
}
"""What a status means where there is no code, or an unknown one; the rest goes by its hundred."""


def is_web_page(answer: Answer) -> bool:
    """Return whether somebody between us and the cloud answered, with a page for people."""
    begin = answer.body.lstrip(b"\xef\xbb\xbf \t\r\n")[:LONGEST_DOCTYPE].lower()
    is_html = "html" in answer.headers.get("content-type", "").lower() or begin.startswith(
        (b"<!doctype html", b"<html")
    )
    return is_html and begin.startswith(b"<")


def web_page(cloud: str, answer: Answer, doing: str) -> CloudUnavailableError:
    """Return the error for such a page: trouble that may pass, and what was asked for may have happened."""
    return CloudUnavailableError(
        f"{cloud}: cannot {doing}: the answer is a web page, not the API: "
        f"a proxy, a captive portal or a challenge page (HTTP {answer.status})",
        details=answer.text,
        resolution="sign in to this network with a browser, or check HTTPS_PROXY; then repeat the command",
        status=answer.status,
    )


def by_status(cloud: str, answer: Answer, doing: str) -> CloudError:
    """Return the error for a body that is not the cloud's own; somebody else's 404 says nothing about a thing."""
    if answer.status == 404:
        return unreadable(cloud, doing, "a 404 that is not the cloud's own; is the endpoint right?", answer)
    if is_web_page(answer):
        return web_page(cloud, answer, doing)
    return error_from(meaning_of(answer.status), cloud, doing, answer.text, status=answer.status)


def meaning_of(status: int) -> Meaning:
    """Return the meaning of a status where no code is more specific."""
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500:
        return Meaning(CloudUnavailableError, WAIT)
    return Meaning(BadRequestError, ASK_DIFFERENTLY if status >= 400 else "check the endpoint: it sends us elsewhere")


def error_from(
    meaning: Meaning, cloud: str, doing: str, reported: str, *, code: str | None = None, status: int | None = None
) -> CloudError:
    """Return the error of a meaning, with the cloud's own words.

    Args:
        meaning: What the cloud's answer means.
        cloud: Name of the cloud.
        doing: What was tried, like ``launch it``.
        reported: The cloud's own words.
        code: The cloud's code, if it gave one.
        status: HTTP status of the answer, if there was one.
    """
    words = " ".join(reported.split())[:500]
    label = " ".join(str(part) for part in (status, code) if part is not None)
    first = words.split(". ")[0].rstrip(".")[:160] or "no reason given"
    return meaning.error(
        f"{cloud}: cannot {doing}: {first} ({label})",
        details=words or None,
        resolution=meaning.resolution,
        code=code,
        status=status,
    )
