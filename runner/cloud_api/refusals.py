"""The clouds' own words for "no", each turned into one of the runner's errors: every code of their documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from runner.cloud_api.answers import Answer, unreadable
from runner.clouds.lambda_cloud.messages import Refusal
from runner.clouds.runpod.messages import Problem
from runner.errors import (
    AccessDeniedError,
    AccountError,
    BadRequestError,
    CloudError,
    CloudUnavailableError,
    NoCapacityError,
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

LAMBDA_CODES: Mapping[str, Meaning] = {
    "global/invalid-api-key": Meaning(AccountError, KEY),
    "global/account-inactive": Meaning(AccountError, BILLING),
    "global/invalid-address": Meaning(AccountError, BILLING),
    "global/forbidden": Meaning(AccessDeniedError, SCOPE),
    "global/invalid-parameters": Meaning(BadRequestError, ASK_DIFFERENTLY),
    "global/object-does-not-exist": Meaning(NotFoundError, NOTHING_THERE),
    "global/not-found": Meaning(NotFoundError, NOTHING_THERE),
    "global/quota-exceeded": Meaning(AccountError, QUOTA),
    "global/duplicate": Meaning(BadRequestError, "choose another name: this one is taken"),
    "global/conflict": Meaning(BadRequestError, "wait until the machine has settled, then ask again"),
    "global/internal-error": Meaning(CloudUnavailableError, WAIT),
    "global/unknown": Meaning(CloudUnavailableError, WAIT),
    "instance-operations/launch/insufficient-capacity": Meaning(NoCapacityError, TRY_ANOTHER),
    "instance-operations/launch/file-system-in-wrong-region": Meaning(
        BadRequestError, "rent in the file system's region, or leave the file system out"
    ),
    "filesystems/filesystem-in-use": Meaning(BadRequestError, "end the machines that use the file system first"),
    "firewall-rulesets/firewall-ruleset-in-use": Meaning(BadRequestError, "end the machines that use the rules first"),
}
UPSTREAM = "provider/"
"""Lambda's codes for trouble behind it begin with this."""

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

NO_CAPACITY_PROSE = re.compile(
    r"no longer any instances available|does not have the resources|no (?:gpu |machine )?capacity|not enough capacity|"
    r"no (?:available )?(?:instances|machines|hosts|gpus) (?:are )?(?:currently )?available|out of stock|"
    r"insufficient capacity|could not find (?:a|any) (?:machine|host|pod)",
    re.IGNORECASE,
)
BALANCE_PROSE = re.compile(
    r"\bbalance\b|insufficient funds|out of funds|spend(?:ing)? (?:limit|cap)|\bcredits?\b", re.IGNORECASE
)
NOT_FOUND_PROSE = re.compile(r"pod not found|nonexistent|does not exist", re.IGNORECASE)

GRAPHQL_CODES: Mapping[str, Meaning] = {
    "UNAUTHENTICATED": Meaning(AccountError, KEY),
    "FORBIDDEN": Meaning(AccessDeniedError, SCOPE),
    "BAD_USER_INPUT": Meaning(BadRequestError, ASK_DIFFERENTLY),
}
GRAPHQL_ENDED = Meaning(
    BadRequestError,
    "RunPod's GraphQL API was announced to end in early 2027: rent on-demand, without a server-side end",
)
GRAPHQL_ENDED_CODES = frozenset({"GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "PERSISTED_QUERY_NOT_SUPPORTED"})
GRAPHQL_ENDED_STATUSES = frozenset({301, 302, 307, 308, 404, 405, 410, 501})


def lambda_refusal(answer: Answer, doing: str) -> CloudError:
    """Return the error for an answer of Lambda's that is no success; its ``code`` counts, not its prose."""
    found = Refusal.read(answer.body)
    if found is None:
        return _by_status("lambda", answer, doing)
    code, told = found.error.code, " ".join(filter(None, (found.error.message, found.error.suggestion)))
    if code.startswith(UPSTREAM):
        meaning = Meaning(CloudUnavailableError, WAIT)
    else:
        meaning = LAMBDA_CODES.get(code) or _meaning(answer.status)
    return _error(meaning, "lambda", doing, told or code, code=code, status=answer.status)


def runpod_refusal(answer: Answer, doing: str) -> CloudError:
    """Return the error for an answer of RunPod's REST API that is no success.

    A 400 is a lack of machines or a fault of the request, and only prose tells which: what is not known to speak of
    machines is ``BadRequestError`` with ``status`` 400.
    """
    problem = Problem.read(answer.body)
    if problem is None:
        return _by_status("runpod", answer, doing)
    told = "; ".join([problem.detail, *(problem.errors or ())])
    meaning = _meaning(answer.status)
    if answer.status == 400:
        meaning = _by_prose(told) or meaning
    return _error(meaning, "runpod", doing, told, status=answer.status)


def graphql_refusal(answer: Answer, doing: str) -> CloudError:
    """Return the error for an HTTP status of RunPod's GraphQL API that is no success."""
    if answer.status in GRAPHQL_ENDED_STATUSES:
        return _error(GRAPHQL_ENDED, "runpod", doing, f"GraphQL answers {answer.status}", status=answer.status)
    if answer.status == 400:
        told = answer.text
        code = next((code for code in (*GRAPHQL_CODES, *GRAPHQL_ENDED_CODES) if code in told), None)
        return graphql_fault(told, code, doing, status=400)
    return _by_status("runpod", answer, doing)


def graphql_fault(message: str, code: str | None, doing: str, *, status: int = 200) -> CloudError:
    """Return the error for what GraphQL tells under ``errors``: by its prose, then by its code.

    What neither explains is ``CloudUnavailableError``: the pod may have been made before the fault.
    """
    meaning = _by_prose(message)
    if meaning is None and NOT_FOUND_PROSE.search(message):
        meaning = Meaning(NotFoundError, NOTHING_THERE)
    if meaning is None and code in GRAPHQL_ENDED_CODES:
        meaning = GRAPHQL_ENDED
    if meaning is None:
        meaning = GRAPHQL_CODES.get(code or "") or Meaning(CloudUnavailableError, WAIT)
    return _error(meaning, "runpod", doing, message, code=code, status=status)


def _by_prose(told: str) -> Meaning | None:
    if NO_CAPACITY_PROSE.search(told):
        return Meaning(NoCapacityError, TRY_ANOTHER)
    if BALANCE_PROSE.search(told):
        return Meaning(AccountError, BILLING)
    return None


def _by_status(cloud: str, answer: Answer, doing: str) -> CloudError:
    """Return the error for a body that is not the cloud's own; somebody else's 404 says nothing about a thing."""
    if answer.status == 404:
        return unreadable(cloud, doing, "a 404 that is not the cloud's own; is the endpoint right?", answer)
    return _error(_meaning(answer.status), cloud, doing, answer.text, status=answer.status)


def _meaning(status: int) -> Meaning:
    if status in STATUSES:
        return STATUSES[status]
    if status >= 500:
        return Meaning(CloudUnavailableError, WAIT)
    return Meaning(BadRequestError, ASK_DIFFERENTLY if status >= 400 else "check the endpoint: it sends us elsewhere")


def _error(
    meaning: Meaning, cloud: str, doing: str, told: str, *, code: str | None = None, status: int | None = None
) -> CloudError:
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
