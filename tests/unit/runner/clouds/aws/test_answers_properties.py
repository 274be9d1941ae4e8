"""Whatever EC2 and the Scheduler answer: a listing that says what could not be read, or an expected error."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from hypothesis import given
from hypothesis import strategies as st

from runner.clouds.aws.api import AwsCloud
from runner.errors import CloudError
from tests.tools.examples import examples
from tests.tools.odd_values import changed, values
from tests.unit.runner.clouds.aws.test_api_over_http import SCHEDULES, SETS, XMLNS

REGION = "us-east-1"
TAGS = "<tagSet><item><key>douse-run</key><value>20261121-073000-tiny</value></item></tagSet>"
ITEMS: Mapping[str, str] = {
    "DescribeInstances": "<instancesSet><item><instanceId>i-1</instanceId><amiLaunchIndex>0</amiLaunchIndex>"
    f"<instanceState><code>16</code><name>running</name></instanceState><launchTime>2026-11-21T07:30:00Z</launchTime>"
    f"{TAGS}</item></instancesSet>",
    "DescribeSpotInstanceRequests": f"<spotInstanceRequestId>sir-1</spotInstanceRequestId><state>open</state>{TAGS}",
    "DescribeVolumes": f"<volumeId>vol-1</volumeId><size>60</size><status>in-use</status>{TAGS}",
    "DescribeAddresses": f"<allocationId>eipalloc-1</allocationId>{TAGS}",
    "DescribeSecurityGroups": f"<groupId>sg-1</groupId><groupName>douse</groupName>{TAGS}",
    "DescribeKeyPairs": f"<keyPairId>key-1</keyPairId><keyName>douse</keyName>{TAGS}",
}
SCHEDULE = {"Schedules": [{"Name": "douse-20261121-073000-tiny", "CreationDate": 1.0, "Target": {"Arn": "arn"}}]}
BYTES = (
    b"",
    b"\xff\xfe",
    b"{}",
    b"[]",
    b"null",
    b"<html>log in</html>",
    b"<a>" * 3000,
    b"[" * 100_000,
    b"<a/>",
    b"&x;",
)
Answer = tuple[int, bytes]
statuses = st.sampled_from([200, 200, 200, 200, 204, 302, 400, 403, 404, 429, 500, 503])


def listing(action: str) -> bytes:
    inner = f"<{SETS[action]}><item>{ITEMS[action]}</item></{SETS[action]}>"
    return f"<{action}Response {XMLNS}><requestId>r</requestId>{inner}</{action}Response>".encode()


@st.composite
def spoiled(draw: st.DrawFn, content: bytes) -> bytes:
    """Return content of which one part is something else."""
    begin = draw(st.integers(0, len(content)))
    end = draw(st.integers(begin, len(content)))
    part = draw(st.sampled_from([b"", b"x", b"<a/>", b"</item>", b"<item>", b"9" * 5000, b"\xff", b"&", b"-1"]))
    return content[:begin] + part + content[end:]


def answer_to(action: str) -> st.SearchStrategy[Answer]:
    if action == SCHEDULES:
        whole = json.dumps(SCHEDULE).encode()
        odd = (changed(SCHEDULE) | values).map(lambda value: json.dumps(value).encode())
    else:
        whole, odd = listing(action), spoiled(listing(action))
    return st.just((200, whole)) | st.tuples(statuses, odd | st.sampled_from(BYTES) | st.binary(max_size=20))


answers = st.fixed_dictionaries({action: answer_to(action) for action in (*SETS, SCHEDULES)})


class Account:
    """A session whose requests never leave this process."""

    def __init__(self) -> None:
        self.answers: Mapping[str, Answer] = {}
        session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b")
        session.events.register("before-send", self._answer)
        self.cloud = AwsCloud(session, home=REGION, regions=(REGION,), now=lambda: datetime(2026, 11, 21, tzinfo=UTC))

    def _answer(self, request: Any, **_: object) -> AWSResponse:
        body = request.body or b""
        asked = parse_qs(body if isinstance(body, str) else body.decode())
        status, content = self.answers[asked.get("Action", [SCHEDULES])[0]]
        response = AWSResponse(request.url, status, {}, None)
        response._content = content
        return response


@cache
def account() -> Account:
    """Return one account for all examples: making boto3's clients takes longer than most of them."""
    return Account()


@examples(150)
@given(answered=answers)
def test_a_list_that_cannot_be_read_is_never_nothing_there(answered: Mapping[str, Answer]) -> None:
    account().answers = answered
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(CloudError):
        patch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
        found = account().cloud.listing()

        kinds = {one.kind for one in found.resources}
        whole = [action for action in SETS if answered[action] == (200, listing(action))]
        assert len(kinds - {"schedule"}) >= len(whole)
        no_list = [
            action for action in SETS if SETS[action].encode() not in answered[action][1] or answered[action][0] > 299
        ]
        assert not no_list or found.unread


def test_answers_as_they_should_be_are_read_whole() -> None:
    account().answers = {action: (200, listing(action)) for action in SETS} | {
        SCHEDULES: (200, json.dumps(SCHEDULE).encode())
    }

    found = account().cloud.listing().whole()

    assert len({one.kind for one in found}) == len(SETS) + 1
