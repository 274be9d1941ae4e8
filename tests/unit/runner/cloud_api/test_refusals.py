"""What a status means where a cloud's code says nothing, and how a long reason is told."""

from __future__ import annotations

import pytest

from runner.cloud_api.answers import Answer
from runner.cloud_api.refusals import is_web_page
from runner.clouds.lambda_cloud.refusals import lambda_refusal
from runner.clouds.runpod.refusals import graphql_refusal, runpod_refusal
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


@pytest.mark.parametrize("refusal", [lambda_refusal, runpod_refusal, graphql_refusal])
@pytest.mark.parametrize("status", [401, 403, 407, 502, 503, 511])
def test_a_web_page_is_trouble_on_the_way_whatever_its_status(refusal: object, status: int) -> None:
    page = "<!DOCTYPE html><title>Just a moment...</title>"
    refused = refusal(answer(status, page), "look at it")  # type: ignore[operator]

    assert type(refused) is CloudUnavailableError
    assert (
        "cannot look at it: the answer is a web page, not the API: a proxy, a captive portal or a challenge page"
        in refused.message
    )
    assert refused.details == page


@pytest.mark.parametrize(
    ("content_type", "body", "is_page"),
    [
        ("text/html; charset=utf-8", "<p>Sign in</p>", True),
        ("TEXT/HTML", "\n<div>", True),
        ("text/plain", "\ufeff  <!DOCTYPE HTML><html>", True),
        ("", "<HTML lang=en>", True),
        ("text/html", '{"data": []}', False),
        ("text/html", "", False),
        ("application/json", '{"data": "<html>"}', False),
        ("text/xml", '<?xml version="1.0"?><Response/>', False),
    ],
)
def test_a_web_page_is_known_by_its_beginning(content_type: str, body: str, is_page: bool) -> None:
    assert is_web_page(Answer(200, {"content-type": content_type}, body.encode())) is is_page


def test_a_long_reason_is_cut_to_one_short_line() -> None:
    refused = _lambda(400, "global/invalid-parameters", "first line\nsecond " + "x" * 3000)

    assert "\n" not in refused.message
    assert len(refused.message) < 260
    assert refused.details is not None
    assert len(refused.details) == 500
