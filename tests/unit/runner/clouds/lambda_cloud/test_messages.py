"""What Lambda takes is checked before it is sent."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from runner.clouds.lambda_cloud.messages import LaunchRequest, Refusal, SshKey, data_of

SECRET = "#cloud-config\nssh_keys: {ed25519_private: top-secret-key}"


def _request(**changes: Any) -> LaunchRequest:
    given: dict[str, Any] = {
        "region_name": "us-west-1",
        "instance_type_name": "gpu_1x_a10",
        "ssh_key_name": "douse-key",
        "name": "douse-machine",
    }
    return LaunchRequest(**(given | changes))


def test_what_is_not_set_is_not_sent() -> None:
    assert _request().body() == {
        "region_name": "us-west-1",
        "instance_type_name": "gpu_1x_a10",
        "ssh_key_names": ["douse-key"],
        "name": "douse-machine",
    }


def test_everything_that_is_set_is_sent() -> None:
    request = _request(
        user_data=SECRET,
        tags={"douse-run": "r", "douse-expires": "e"},
        hostname="douse-1",
        image_family="ubuntu-lts",
        file_system_names=("disk",),
    )

    assert request.body() == {
        "region_name": "us-west-1",
        "instance_type_name": "gpu_1x_a10",
        "ssh_key_names": ["douse-key"],
        "name": "douse-machine",
        "user_data": SECRET,
        "tags": [{"key": "douse-run", "value": "r"}, {"key": "douse-expires", "value": "e"}],
        "hostname": "douse-1",
        "image": {"family": "ubuntu-lts"},
        "file_system_names": ["disk"],
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "x" * 65}, "at most 64"),
        ({"name": ""}, "at least 1"),
        ({"ssh_key_name": "x" * 65}, "at most 64"),
        ({"region_name": ""}, "at least 1"),
        ({"instance_type_name": ""}, "at least 1"),
        ({"hostname": "Upper"}, "match pattern"),
        ({"tags": {"Upper": "x"}}, "tag Upper does not match"),
        ({"tags": {"a" * 56: "x"}}, "at most 55 characters"),
        ({"tags": {"key": "x" * 129}}, "more than 128"),
        ({"user_data": "é" * 500_001}, "more than 1000000"),
        ({"quantity": 2}, "Extra inputs"),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        _request(**changes)


def test_user_data_is_shown_nowhere() -> None:
    request = _request(user_data=SECRET)

    assert "top-secret" not in repr(request) + str(request)
    with pytest.raises(ValidationError) as caught:
        _request(user_data=SECRET, name="")
    assert "top-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("stored", "given", "same"),
    [
        ("ssh-ed25519 AAAA me@here", "ssh-ed25519 AAAA", True),
        ("ssh-ed25519 AAAA", "  ssh-ed25519   AAAA other comment\n", True),
        ("ssh-ed25519 AAAA", "ssh-ed25519 BBBB", False),
        ("ssh-rsa AAAA", "ssh-ed25519 AAAA", False),
    ],
)
def test_a_key_is_the_same_by_type_and_blob(stored: str, given: str, same: bool) -> None:
    assert SshKey(id="1", name="n", public_key=stored).holds(given) is same


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "text"}', b'{"error": {"message": "m"}}'])
def test_what_is_no_refusal_is_none(body: bytes) -> None:
    assert Refusal.read(body) is None


def test_an_envelope_is_made_once_for_each_content() -> None:
    assert data_of(SshKey) is data_of(SshKey)
    assert data_of(list[Any]).model_validate_json('{"data": [1]}').data == [1]
    with pytest.raises(ValidationError):
        data_of(list[Any]).model_validate_json('{"data": {}}')
