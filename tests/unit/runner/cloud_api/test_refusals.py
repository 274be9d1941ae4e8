"""Every "no" in the clouds' documents becomes the right error."""

from __future__ import annotations

import json

import pytest

from runner.cloud_api.answers import Answer
from runner.cloud_api.refusals import GRAPHQL_ENDED, graphql_fault, graphql_refusal, lambda_refusal, runpod_refusal
from runner.errors import (
    AccessDeniedError,
    AccountError,
    BadRequestError,
    CloudError,
    CloudUnavailableError,
    NoCapacityError,
    NotFoundError,
    RateLimitedError,
    UnreadableAnswerError,
)


def _answer(status: int, body: object) -> Answer:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Answer(status, {"content-type": "text/plain" if isinstance(body, str) else "application/json"}, content)


def _lambda(status: int, code: str, message: str = "Said so.") -> CloudError:
    return lambda_refusal(_answer(status, {"error": {"code": code, "message": message}}), "launch it")


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


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequestError),
        (401, AccountError),
        (402, AccountError),
        (403, AccessDeniedError),
        (404, NotFoundError),
        (408, CloudUnavailableError),
        (409, BadRequestError),
        (418, BadRequestError),
        (422, BadRequestError),
        (429, RateLimitedError),
        (500, CloudUnavailableError),
        (503, CloudUnavailableError),
    ],
)
def test_an_unknown_code_goes_by_the_status(status: int, error: type[CloudError]) -> None:
    assert type(_lambda(status, "global/brand-new")) is error
    problem = {"title": "No", "status": status, "detail": "said so"}
    assert type(runpod_refusal(_answer(status, problem), "rent it")) is error


@pytest.mark.parametrize("refusal", [lambda_refusal, runpod_refusal])
@pytest.mark.parametrize("body", ["<html>Not Found</html>", "", {"message": "no Route matched"}])
def test_somebody_elses_404_says_nothing_about_a_machine(refusal: object, body: object) -> None:
    refused = refusal(_answer(404, body), "look at it")  # type: ignore[operator]

    assert type(refused) is UnreadableAnswerError


@pytest.mark.parametrize("refusal", [lambda_refusal, runpod_refusal])
def test_a_page_in_html_goes_by_the_status(refusal: object) -> None:
    refused = refusal(_answer(502, "<html>Bad Gateway</html>"), "look at it")  # type: ignore[operator]

    assert type(refused) is CloudUnavailableError
    assert refused.details == "<html>Bad Gateway</html>"


@pytest.mark.parametrize(
    ("detail", "error"),
    [
        (
            "There are no longer any instances available with the requested specifications. Please refresh.",
            NoCapacityError,
        ),
        ("There are no longer any instances available with enough disk space.", NoCapacityError),
        ("This machine does not have the resources to deploy your pod", NoCapacityError),
        ("no capacity for this GPU in US-KS-2", NoCapacityError),
        ("mounts.persistent and mounts.network are mutually exclusive", BadRequestError),
        ("request could not be processed", BadRequestError),
    ],
)
def test_runpods_400_goes_by_its_prose(detail: str, error: type[CloudError]) -> None:
    refused = runpod_refusal(_answer(400, {"title": "Bad Request", "status": 400, "detail": detail}), "rent it")

    assert type(refused) is error
    assert refused.status == 400
    assert refused.details == detail


def test_runpod_tells_each_fault_of_a_request() -> None:
    problem = {"title": "Unprocessable", "status": 422, "detail": "Request validation failed.", "errors": ["$: 'x'"]}

    refused = runpod_refusal(_answer(422, problem), "rent it")

    assert refused.details == "Request validation failed.; $: 'x'"


@pytest.mark.parametrize(
    ("message", "code", "error"),
    [
        ("There are no longer any instances available with enough disk space.", "RUNPOD", NoCapacityError),
        ("This machine does not have the resources to deploy your pod", None, NoCapacityError),
        ("There are no longer any instances available.", "INTERNAL_SERVER_ERROR", NoCapacityError),
        ("Your account balance is too low", None, AccountError),
        ("Spending limit reached", "RUNPOD", AccountError),
        ("pod not found to terminate", None, NotFoundError),
        ("Tried to delete nonexistent network volume", None, NotFoundError),
        ("who are you", "UNAUTHENTICATED", AccountError),
        ("not yours", "FORBIDDEN", AccessDeniedError),
        ("bad value", "BAD_USER_INPUT", BadRequestError),
        ("Cannot query field", "GRAPHQL_VALIDATION_FAILED", BadRequestError),
        ("Something went wrong. Please try again later or contact support.", None, CloudUnavailableError),
        ("Something went wrong.", "INTERNAL_SERVER_ERROR", CloudUnavailableError),
        ("", None, CloudUnavailableError),
    ],
)
def test_graphqls_faults_go_by_prose_then_code(message: str, code: str | None, error: type[CloudError]) -> None:
    assert type(graphql_fault(message, code, "rent it")) is error


@pytest.mark.parametrize("status", [301, 404, 405, 410])
def test_the_end_of_graphql_is_told_as_such(status: int) -> None:
    refused = graphql_refusal(_answer(status, "<html>"), "rent spot")

    assert type(refused) is BadRequestError
    assert refused.resolution == GRAPHQL_ENDED.resolution


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            {"errors": [{"message": "Cannot query", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}]},
            BadRequestError,
        ),
        ({"errors": [{"message": "x", "extensions": {"code": "BAD_USER_INPUT"}}]}, BadRequestError),
        ("who knows", CloudUnavailableError),
    ],
)
def test_a_400_of_graphql_is_read_for_its_code(body: object, error: type[CloudError]) -> None:
    assert type(graphql_refusal(_answer(400, body), "rent spot")) is error


@pytest.mark.parametrize(
    ("status", "error"), [(401, AccountError), (403, AccessDeniedError), (500, CloudUnavailableError)]
)
def test_other_statuses_of_graphql_are_as_anywhere(status: int, error: type[CloudError]) -> None:
    assert type(graphql_refusal(_answer(status, {"errors": []}), "rent spot")) is error


def test_a_long_reason_is_cut_to_one_short_line() -> None:
    refused = _lambda(400, "global/invalid-parameters", "first line\nsecond " + "x" * 3000)

    assert "\n" not in refused.message
    assert len(refused.message) < 260
    assert refused.details is not None
    assert len(refused.details) == 500
