"""An answer that is not what was promised is an error, never an empty list."""

from __future__ import annotations

import json

import pytest

from runner.cloud_api.answers import Answer, read
from runner.clouds.lambda_cloud.messages import Data, SshKey
from runner.clouds.runpod.messages import PodList
from runner.errors import UnreadableAnswerError

KEY = '{"id": "k1", "name": "n", "public_key": "ssh-ed25519 AAAA", "brand_new": 1}'


def _read(body: str) -> list[SshKey]:
    answer = Answer(200, {"content-type": "application/json"}, body.encode())
    return read(Data[list[SshKey]], answer, cloud="lambda", doing="list the SSH keys").data


def test_fields_that_nobody_knows_are_left_alone() -> None:
    assert [key.id for key in _read(f'{{"data": [{KEY}], "request_id": "r"}}')] == ["k1"]


def test_a_list_that_is_empty_is_empty() -> None:
    assert _read('{"data": []}') == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "it is empty"),
        ("  \n", "it is empty"),
        ("null", "body: input should be an object"),
        ("[]", "body: input should be an object"),
        ("{}", "data: field required"),
        ('{"data": null}', "data: input should be a valid array"),
        ('{"data": {}}', "data: input should be a valid array"),
        ('{"data": [', "body: invalid json"),
        ("<html><body>All good</body></html>", "body: invalid json"),
        ('{"data": [{"id": "k1", "name": "n"}]}', "data.0.public_key: field required"),
        ('{"data": [{"id": 7, "name": "n", "public_key": "p"}]}', "data.0.id: input should be a valid string"),
        ('{"data": [{"id": "", "name": "n", "public_key": "p"}]}', "data.0.id: string should have at least 1"),
        ('{"data": [null]}', "data.0: input should be an object"),
        (f'{{"data": [{KEY}], "next_page_token": "abc"}}', "it is only a part, there is next_page_token"),
        (f'{{"data": [{KEY}], "has_more": true}}', "it is only a part, there is has_more"),
    ],
)
def test_anything_else_cannot_be_read(body: str, reason: str) -> None:
    with pytest.raises(UnreadableAnswerError) as caught:
        _read(body)

    assert caught.value.message.startswith(
        f"lambda: cannot list the SSH keys: the answer does not match its schema: {reason}"
    )


@pytest.mark.parametrize("status", [202, 204, 206])
def test_a_status_without_a_whole_answer_cannot_be_read(status: int) -> None:
    with pytest.raises(UnreadableAnswerError, match=f"HTTP {status} is no whole answer"):
        read(PodList, Answer(status, {}, b'{"pods": []}'), cloud="runpod", doing="list the pods")


def test_a_sign_of_more_that_says_no_is_none() -> None:
    assert len(_read(f'{{"data": [{KEY}], "next_page_token": null, "has_more": false}}')) == 1


def test_runpods_list_may_say_that_it_is_a_part() -> None:
    answer = Answer(200, {}, b'{"pods": [], "nextCursor": "abc"}')

    with pytest.raises(UnreadableAnswerError, match="nextCursor"):
        read(PodList, answer, cloud="runpod", doing="list the pods")


def test_the_error_does_not_quote_the_answer() -> None:
    body = '{"data": [{"id": 1, "name": "n", "public_key": "p", "jupyter_token": "hidden-thing"}]}'

    with pytest.raises(UnreadableAnswerError) as caught:
        _read(body)

    assert "hidden-thing" not in f"{caught.value.message}{caught.value.details}{caught.value.__cause__}"
    assert caught.value.details == f"HTTP 200, application/json, {len(body)} bytes"


@pytest.mark.parametrize(
    ("extra", "sign"),
    [
        ({"pagination": {"hasNextPage": True}}, "hasNextPage"),
        ({"meta": {"paging": {"cursors": {"after": "x"}, "next": "https://x"}}}, "next"),
        ({"links": [{"rel": "self"}, {"rel": "next", "href": "https://x"}]}, "rel: next"),
        ({"meta": {"page": 1, "pages": 2}}, "page"),
        ({"result": {"is_truncated": True}}, "is_truncated"),
        ({"info": {"remaining": 3}}, "remaining"),
        ({"pagination": {"hasNextPage": False, "nextCursor": "x"}}, "nextCursor"),
    ],
)
def test_a_sign_of_more_is_seen_at_every_depth(extra: dict[str, object], sign: str) -> None:
    with pytest.raises(UnreadableAnswerError, match=f"it is only a part, there is {sign}"):
        _read(json.dumps({"data": [], **extra}))


@pytest.mark.parametrize(
    "extra",
    [
        {"pagination": {"hasNextPage": False, "nextCursor": None, "page": 1, "pageSize": 50}},
        {"meta": {"has_more": False, "pages": 1}},
        {"links": [{"rel": "self", "href": "https://x?page=1"}]},
        {"request": {"id": "r-1"}},
    ],
)
def test_an_answer_that_says_that_it_ends_is_whole(extra: dict[str, object]) -> None:
    assert _read(json.dumps({"data": [], **extra})) == []


@pytest.mark.parametrize(
    ("name", "value", "is_part"),
    [
        ("link", '<https://x/pods?page=2>; rel="next"', True),
        ("link", "<https://x/pods?page=1>; rel=prev", False),
        ("x-next-page", "2", True),
        ("x-next-page", "", False),
        ("x-nextjs-cache", "HIT", False),
    ],
)
def test_a_sign_of_more_may_be_in_a_header(name: str, value: str, is_part: bool) -> None:
    answer = Answer(200, {name: value}, b'{"pods": []}')
    if not is_part:
        assert read(PodList, answer, cloud="runpod", doing="list the pods").entries == []
        return
    with pytest.raises(UnreadableAnswerError, match="a header"):
        read(PodList, answer, cloud="runpod", doing="list the pods")


def test_what_is_named_by_a_user_is_no_sign_of_more() -> None:
    answer = Answer(200, {}, b'{"pods": [{"env": {"NEXT_PAGE": "yes"}}]}')

    assert len(read(PodList, answer, cloud="runpod", doing="list the pods").entries) == 1
