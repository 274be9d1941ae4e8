"""Lambda's words for "no": every code of its document, as one of the runner's errors."""

from __future__ import annotations

from collections.abc import Mapping

from runner.cloud_api.answers import Answer
from runner.cloud_api.refusals import (
    ASK_DIFFERENTLY,
    BILLING,
    KEY,
    NOTHING_THERE,
    QUOTA,
    SCOPE,
    TRY_ANOTHER,
    WAIT,
    Meaning,
    by_status,
    error_from,
    meaning_of,
)
from runner.clouds.lambda_cloud.messages import Refusal
from runner.errors import (
    AccessDeniedError,
    AccountError,
    BadRequestError,
    CloudError,
    CloudUnavailableError,
    NoCapacityError,
    NotFoundError,
)

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
    "global/conflict": Meaning(BadRequestError, "wait until the machine has settled, then repeat the command"),
    "global/internal-error": Meaning(CloudUnavailableError, WAIT),
    "global/unknown": Meaning(CloudUnavailableError, WAIT),
    "instance-operations/launch/insufficient-capacity": Meaning(NoCapacityError, TRY_ANOTHER),
    "instance-operations/launch/file-system-in-wrong-region": Meaning(
        BadRequestError, "rent in the file system's region, or leave the file system out"
    ),
    "filesystems/filesystem-in-use": Meaning(BadRequestError, "terminate the machines that use the file system first"),
    "firewall-rulesets/firewall-ruleset-in-use": Meaning(
        BadRequestError, "terminate the machines that use the rules first"
    ),
}
UPSTREAM = "provider/"
"""Lambda's codes for trouble behind it begin with this."""


def lambda_refusal(answer: Answer, doing: str) -> CloudError:
    """Return the error for an answer of Lambda's that is no success; its ``code`` counts, not its prose."""
    found = Refusal.read(answer.body)
    if found is None:
        return by_status("lambda", answer, doing)
    code, reported = found.error.code, " ".join(filter(None, (found.error.message, found.error.suggestion)))
    if code.startswith(UPSTREAM):
        meaning = Meaning(CloudUnavailableError, WAIT)
    else:
        meaning = LAMBDA_CODES.get(code) or meaning_of(answer.status)
    return error_from(meaning, "lambda", doing, reported or code, code=code, status=answer.status)
