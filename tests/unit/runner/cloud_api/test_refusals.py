"""What a status means where a cloud's code says nothing, and how a long reason is told."""

from __future__ import annotations

import pytest

from runner.clouds.lambda_cloud.refusals import lambda_refusal
from runner.clouds.runpod.refusals import runpod_refusal
from runner.errors import (
    AccessDeniedError,
    AccountError,
    BadRequestError,
    CloudError,
    CloudUnavailableError,
    NotFoundError,
    RateLimitedError,
    UnreadableAnswerError,
)
from tests.unit.runner.cloud_api.answered import answer


def _lambda(status: int, code: str, message: str = "Said so.") -> CloudError:
    return lambda_refusal(answer(status, {"error": {"code": code, "message": message}}), "launch it")


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
    assert type(runpod_refusal(answer(status, problem), "rent it")) is error


@pytest.mark.parametrize("refusal", [lambda_refusal, runpod_refusal])
@pytest.mark.parametrize("body", ["<html>Not Found</html>", "", {"message": "no Route matched"}])
def test_somebody_elses_404_says_nothing_about_a_machine(refusal: object, body: object) -> None:
    refused = refusal(answer(404, body), "look at it")  # type: ignore[operator]

    assert type(refused) is UnreadableAnswerError


@pytest.mark.parametrize("refusal", [lambda_refusal, runpod_refusal])
def test_a_page_in_html_goes_by_the_status(refusal: object) -> None:
    refused = refusal(answer(502, "<html>Bad Gateway</html>"), "look at it")  # type: ignore[operator]

    assert type(refused) is CloudUnavailableError
    assert refused.details == "<html>Bad Gateway</html>"


def test_a_long_reason_is_cut_to_one_short_line() -> None:
    refused = _lambda(400, "global/invalid-parameters", "first line\nsecond " + "x" * 3000)

    assert "\n" not in refused.message
    assert len(refused.message) < 260
    assert refused.details is not None
    assert len(refused.details) == 500
