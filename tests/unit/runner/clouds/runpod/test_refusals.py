"""Every "no" of RunPod's, of REST and of GraphQL, becomes the right error."""

from __future__ import annotations

import pytest

from runner.clouds.runpod.refusals import GRAPHQL_ENDED, graphql_fault, graphql_refusal, runpod_refusal
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
    refused = runpod_refusal(answer(400, {"title": "Bad Request", "status": 400, "detail": detail}), "rent it")

    assert type(refused) is error
    assert refused.status == 400
    assert refused.details == detail


def test_runpod_reports_each_fault_of_a_request() -> None:
    problem = {"title": "Unprocessable", "status": 422, "detail": "Request validation failed.", "errors": ["$: 'x'"]}

    refused = runpod_refusal(answer(422, problem), "rent it")

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
def test_the_end_of_graphql_is_reported_as_such(status: int) -> None:
    refused = graphql_refusal(answer(status, "<html>"), "rent spot")

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
    assert type(graphql_refusal(answer(400, body), "rent spot")) is error


@pytest.mark.parametrize(
    ("status", "error"), [(401, AccountError), (403, AccessDeniedError), (500, CloudUnavailableError)]
)
def test_other_statuses_of_graphql_are_as_anywhere(status: int, error: type[CloudError]) -> None:
    assert type(graphql_refusal(answer(status, {"errors": []}), "rent spot")) is error
