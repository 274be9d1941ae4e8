"""What stands in for boto3 does as botocore: it repeats, gives up, follows pages, and raises its errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest

from runner.cloud_api.answers import Answer
from runner.cloud_api.library import library_of
from runner.cloud_api.wire import Request, wire_of
from runner.clouds.aws.api import BOTO3, AwsCloud, open_aws
from runner.clouds.aws.simulated.session import InTurn, library
from runner.errors import CloudError, CloudUnavailableError, RateLimitedError, UnreadableAnswerError
from runner.simulation.world import VirtualWorld

ENVIRON = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": "https://aws.simulated"}
WHO = {"Account": "123456789012"}
DATE = {"date": "Thu, 01 Jan 2026 00:00:00 GMT"}


class Scripted:
    """A wire that gives the answers that it was given; the last one again and again."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self._answers, self.asked = list(answers), list[Request]()

    def send(self, request: Request) -> Answer:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Close nothing."""


def ok(content: Mapping[str, Any]) -> Answer:
    return Answer(200, DATE, json.dumps(content).encode())


def no(status: int, code: str) -> Answer:
    return Answer(status, DATE, json.dumps({"Error": {"Code": code, "Message": "No."}}).encode())


def account(wire: Scripted) -> AwsCloud:
    world = VirtualWorld()
    world.shared(wire_of, lambda: lambda *_, **__: wire)
    return open_aws({**ENVIRON, "DOUSE_AWS_REGIONS": "us-east-1"}, now=world.now, library=library(world))


@pytest.mark.parametrize(
    "trouble",
    [
        httpx2.ConnectTimeout("nobody answers"),
        httpx2.ReadTimeout("no answer"),
        httpx2.ConnectError("no network"),
        httpx2.ReadError("the connection broke"),
        no(500, "InternalError"),
        no(503, "RequestLimitExceeded"),
        Answer(503, DATE, b"<html>"),
        Answer(429, DATE, b'{"error": {"code": "global/unknown"}}'),
    ],
    ids=str,
)
def test_trouble_that_passes_is_repeated_and_never_seen(trouble: Answer | Exception) -> None:
    wire = Scripted(trouble, trouble, ok(WHO))

    assert account(wire).account().label == "123456789012"
    assert len(wire.asked) == 3


@pytest.mark.parametrize(
    ("trouble", "expected", "times"),
    [
        (httpx2.ReadTimeout("no answer"), CloudUnavailableError, 5),
        (httpx2.ConnectError("no network"), CloudUnavailableError, 5),
        (no(503, "ServiceUnavailable"), CloudUnavailableError, 5),
        (Answer(429, DATE, b'{"error": {}}'), RateLimitedError, 5),
        (no(400, "OptInRequired"), CloudError, 1),
        (Answer(200, DATE, b""), UnreadableAnswerError, 1),
        (
            Answer(200, {**DATE, "content-type": "text/html"}, b"<!doctype html><title>x</title>"),
            CloudUnavailableError,
            1,
        ),
    ],
    ids=str,
)
def test_trouble_that_stays_is_told_as_botocore_tells_it(
    trouble: Answer | Exception, expected: type[CloudError], times: int
) -> None:
    wire = Scripted(trouble)

    with pytest.raises(expected):
        account(wire).account()
    assert len(wire.asked) == times


def test_a_token_that_comes_twice_is_no_list() -> None:
    page = ok(
        {"Reservations": [], "Volumes": [], "NextToken": "again", "SpotInstanceRequests": [], "SecurityGroups": []}
    )

    found = account(Scripted(page)).listing

    with pytest.raises(UnreadableAnswerError):
        found().whole()


def test_who_asks_several_at_once_gets_what_each_came_to() -> None:
    def halve(number: int) -> int:
        if number % 2:
            raise ValueError(number)
        return number // 2

    with InTurn(8) as pool:
        done = [pool.submit(halve, number) for number in (2, 3)]

    assert done[0].result() == 1
    with pytest.raises(ValueError, match="3"):
        done[1].result()


def test_a_world_has_boto3_unless_it_was_made_with_something_else() -> None:
    world, other = VirtualWorld(), VirtualWorld()
    made = other.shared(("library", "aws"), lambda: library(other))

    assert library_of(world, "aws", BOTO3) is BOTO3
    assert library_of(other, "aws", BOTO3) is made
