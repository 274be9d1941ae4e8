"""RunPod's words for "no", of REST and of GraphQL, as the runner's errors; some of it is prose alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

from runner.cloud_api.answers import Answer
from runner.cloud_api.refusals import (
    ASK_DIFFERENTLY,
    BILLING,
    KEY,
    NOTHING_THERE,
    SCOPE,
    TRY_ANOTHER,
    WAIT,
    Meaning,
    by_status,
    error_from,
    meaning_of,
)
from runner.clouds.runpod.messages import Problem
from runner.errors import (
    AccessDeniedError,
    AccountError,
    BadRequestError,
    CloudError,
    CloudUnavailableError,
    NoCapacityError,
    NotFoundError,
)

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
    "RunPod's GraphQL API was announced to end in early 2027: rent on demand, without terminate_at",
)
GRAPHQL_ENDED_CODES = frozenset({"GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "PERSISTED_QUERY_NOT_SUPPORTED"})
GRAPHQL_ENDED_STATUSES = frozenset({301, 302, 307, 308, 404, 405, 410, 501})


def runpod_refusal(answer: Answer, doing: str) -> CloudError:
    """Return the error for an answer of RunPod's REST API that is no success.

    A 400 is a lack of machines or a fault of the request, and only prose says which: what is not known to speak of
    machines is ``BadRequestError`` with ``status`` 400.
    """
    problem = Problem.read(answer.body)
    if problem is None:
        return by_status("runpod", answer, doing)
    reported = "; ".join([problem.detail, *(problem.errors or ())])
    meaning = meaning_of(answer.status)
    if answer.status == 400:
        meaning = _by_prose(reported) or meaning
    return error_from(meaning, "runpod", doing, reported, status=answer.status)


def graphql_refusal(answer: Answer, doing: str) -> CloudError:
    """Return the error for an HTTP status of RunPod's GraphQL API that is no success."""
    if answer.status in GRAPHQL_ENDED_STATUSES:
        return error_from(GRAPHQL_ENDED, "runpod", doing, f"GraphQL answers {answer.status}", status=answer.status)
    if answer.status == 400:
        reported = answer.text
        code = next((code for code in (*GRAPHQL_CODES, *GRAPHQL_ENDED_CODES) if code in reported), None)
        return graphql_fault(reported, code, doing, status=400)
    return by_status("runpod", answer, doing)


def graphql_fault(message: str, code: str | None, doing: str, *, status: int = 200) -> CloudError:
    """Return the error for what GraphQL returns under ``errors``: by its prose, then by its code.

    What neither explains is ``CloudUnavailableError``: the pod may have been made before the fault.
    """
    meaning = _by_prose(message)
    if meaning is None and NOT_FOUND_PROSE.search(message):
        meaning = Meaning(NotFoundError, NOTHING_THERE)
    if meaning is None and code in GRAPHQL_ENDED_CODES:
        meaning = GRAPHQL_ENDED
    if meaning is None:
        meaning = GRAPHQL_CODES.get(code or "") or Meaning(CloudUnavailableError, WAIT)
    return error_from(meaning, "runpod", doing, message, code=code, status=status)


def _by_prose(reported: str) -> Meaning | None:
    if NO_CAPACITY_PROSE.search(reported):
        return Meaning(NoCapacityError, TRY_ANOTHER)
    if BALANCE_PROSE.search(reported):
        return Meaning(AccountError, BILLING)
    return None
