"""Every "no" in Lambda's document becomes the right error."""

from __future__ import annotations

import pytest

from runner.clouds.lambda_cloud.refusals import lambda_refusal
from runner.errors import (
    AccessDeniedError,
    AccountError,
    BadRequestError,
    CloudError,
    CloudUnavailableError,
    NoCapacityError,
    NotFoundError,
)
from tests.unit.runner.cloud_api.answered import answer


def _lambda(status: int, code: str, message: str = "Said so.") -> CloudError:
    return lambda_refusal(answer(status, {"error": {"code": code, "message": message}}), "launch it")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "global/invalid-api-key", AccountError),
        (403, "global/account-inactive", AccountError),
        (403, "global/invalid-address", AccountError),
        (403, "global/forbidden", AccessDeniedError),
        (400, "global/invalid-parameters", BadRequestError),
        (400, "global/object-does-not-exist", NotFoundError),
        (404, "global/object-does-not-exist", NotFoundError),
        (404, "global/not-found", NotFoundError),
        (400, "global/quota-exceeded", AccountError),
        (400, "global/duplicate", BadRequestError),
        (409, "global/conflict", BadRequestError),
        (409, "global/internal-error", CloudUnavailableError),
        (400, "instance-operations/launch/insufficient-capacity", NoCapacityError),
        (503, "instance-operations/launch/insufficient-capacity", NoCapacityError),
        (400, "instance-operations/launch/file-system-in-wrong-region", BadRequestError),
        (400, "filesystems/filesystem-in-use", BadRequestError),
        (400, "firewall-rulesets/firewall-ruleset-in-use", BadRequestError),
        (400, "provider/internal-unavailable", CloudUnavailableError),
        (500, "provider/anything-new", CloudUnavailableError),
        (400, "global/unknown", CloudUnavailableError),
    ],
)
def test_lambdas_code_decides(status: int, code: str, error: type[CloudError]) -> None:
    refused = _lambda(status, code)

    assert type(refused) is error
    assert (refused.code, refused.status) == (code, status)
    assert refused.message == f"lambda: cannot launch it: Said so ({status} {code})"
    assert "\n" not in refused.resolution
