"""The account of an emulated store: its role's keys open what their policy names, for as long as they last."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest
from botocore.config import Config

from runner.clouds.aws.api import _policy
from runner.emulation.s3.account import ACCESS_KEY_ID, BUCKET, NUMBER, OWNER, ROLE_ARN, SECRET_KEY, Wanted, is_allowed
from runner.emulation.s3.server import S3Server, serve_s3
from trainer.checkpoints.bucket import PLAIN
from trainer.checkpoints.push import push
from trainer.errors import StoreError

RUN = "runs/a-run"
OBJECTS = f"arn:aws:s3:::{BUCKET}"
REGION = "us-east-1"


@pytest.fixture
def session(open_bucket: Callable[[str], Any]) -> Any:
    """A session of the role, with the product's own policy for one run's folder."""
    from moto.sts.models import sts_backends

    open_bucket("strict")
    policy = json.dumps(_policy(BUCKET, RUN, ROLE_ARN))
    return sts_backends[NUMBER]["aws"].assume_role(REGION, "douse-a-run", ROLE_ARN, policy, 900, "")


def keys_of(session: Any) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
        "AWS_DEFAULT_REGION": REGION,
    }


def test_the_keys_of_a_session_bring_a_folder_there_and_the_server_knows_who_asks(
    session: Any, s3_server: Callable[[str], S3Server], tmp_path: Path
) -> None:
    requests = s3_server("strict").requests
    requests.clear()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("content")

    done = push(tmp_path / "data", f"s3://{BUCKET}/{RUN}/data", keys=keys_of(session))

    assert done.files == 1
    assert {(asked.who, asked.refused) for asked in requests if asked.method == "PUT"} == {("douse-a-run", "")}


@pytest.mark.parametrize(
    ("spoil", "url", "refused"),
    [
        (lambda session: None, f"s3://{BUCKET}/runs/another/data", "AccessDenied"),
        (lambda session: setattr(session, "session_token", "another"), f"s3://{BUCKET}/{RUN}", "InvalidToken"),
        (
            lambda session: setattr(session, "access_key_id", "ASIANOBODY"),
            f"s3://{BUCKET}/{RUN}",
            "InvalidAccessKeyId",
        ),
        (lambda session: _age(session, 901), f"s3://{BUCKET}/{RUN}", "ExpiredToken"),
    ],
)
def test_the_keys_of_a_session_open_nothing_else_and_end(
    spoil: Callable[[Any], None], url: str, refused: str, session: Any, tmp_path: Path
) -> None:
    keys = keys_of(session)
    (tmp_path / "a").write_text("content")
    spoil(session)

    with pytest.raises(StoreError, match=f"refuses: {refused}"):
        push(tmp_path, url, keys=keys)


def _age(session: Any, seconds: float) -> None:
    session.expiration -= timedelta(seconds=seconds)


def test_nobody_without_a_key_comes_in(s3_server: Callable[[str], S3Server], open_bucket: Callable[[str], Any]) -> None:
    open_bucket("amazon")
    server = s3_server("amazon")

    answer = httpx2.get(f"{server.url}/{BUCKET}/a", verify=ssl.create_default_context(cafile=server.ca_file))

    assert (answer.status_code, "AccessDenied" in answer.text) == (403, True)


@pytest.mark.parametrize(
    ("action", "resource", "prefix", "may"),
    [
        ("s3:PutObject", f"{OBJECTS}/{RUN}/checkpoints/x", "", True),
        ("s3:PutObject", f"{OBJECTS}/{RUN}-2/x", "", False),
        ("s3:PutObjectAcl", f"{OBJECTS}/{RUN}/x", "", False),
        ("s3:AbortMultipartUpload", f"{OBJECTS}/{RUN}/x", "", True),
        ("s3:ListBucket", OBJECTS, f"{RUN}/", True),
        ("s3:ListBucket", OBJECTS, "runs/", False),
        ("s3:ListBucket", OBJECTS, "", False),
    ],
)
def test_a_policy_is_read_as_s3_does(action: str, resource: str, prefix: str, may: bool) -> None:
    assert is_allowed(_policy(BUCKET, RUN, ROLE_ARN), Wanted(action, resource, prefix)) is may


def test_a_condition_that_is_not_known_opens_nothing() -> None:
    one = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "*", "Condition": {"Bool": {"x": "true"}}}

    assert not is_allowed({"Statement": [one]}, Wanted("s3:GetObject", f"{OBJECTS}/a"))
    assert is_allowed({"Statement": [{**one, "Condition": {}}]}, Wanted("s3:GetObject", f"{OBJECTS}/a"))


def test_the_owner_may_do_anything_and_whoever_listens_hears_of_it(tmp_path: Path) -> None:
    heard: list[Any] = []
    with serve_s3("amazon", tmp_path, note=heard.append) as server:
        client = boto3.client(
            "s3",
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            endpoint_url=server.url,
            verify=str(server.ca_file),
            config=Config(**PLAIN),
        )
        client.list_buckets()

    assert [(asked.method, asked.who, asked.refused) for asked in heard] == [("GET", OWNER, "")]
