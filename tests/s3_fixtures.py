"""Fixtures for tests that need a store on S3. What they import is not installed wherever tests run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from trainer.checkpoints import bucket as s3

if TYPE_CHECKING:
    from runner.emulation.s3.server import S3Server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], S3Server]]:
    """What starts a store of one manner, once."""
    from runner.emulation.s3.server import serve_s3

    with ExitStack() as stack:
        yield cache(lambda manner: stack.enter_context(serve_s3(manner, tmp_path_factory.mktemp(manner))))


@pytest.fixture(scope="session")
def s3_client(s3_server: Callable[[str], S3Server]) -> Callable[[str], Any]:
    """What makes a client that is not Douse's, once for each manner."""
    import boto3
    from botocore.config import Config

    from runner.emulation.s3.account import ACCESS_KEY_ID, SECRET_KEY

    @cache
    def connect(manner: str) -> Any:
        server = s3_server(manner)
        keys = {"aws_access_key_id": ACCESS_KEY_ID, "aws_secret_access_key": SECRET_KEY, "region_name": "us-east-1"}
        where = {"endpoint_url": server.url, "verify": str(server.ca_file)}
        return boto3.client("s3", config=Config(**s3.PLAIN, retries={"max_attempts": 8}), **keys, **where)

    return connect


@pytest.fixture(scope="session")
def s3_description() -> Callable[[Any, str], Any]:
    """What reads boto3's files about S3 once, in place of its own: a client takes longer to make than most tests."""
    from botocore.loaders import JSONFileLoader

    read = cache(JSONFileLoader().load_file)
    return lambda loader, path: read(path)


@pytest.fixture
def open_bucket(
    s3_server: Callable[[str], S3Server],
    s3_client: Callable[[str], Any],
    s3_description: Callable[[Any, str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Any]:
    """What leads Douse to an empty bucket in a store of some manner, and returns a client that is not Douse's."""

    def open_one(manner: str) -> Any:
        from moto.moto_api._internal.models import moto_api_backend

        from runner.emulation.s3.account import ACCESS_KEY_ID, BUCKET, SECRET_KEY

        server = s3_server(manner)
        for name, value in {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": server.url,
            "AWS_CA_BUNDLE": str(server.ca_file),
        }.items():
            monkeypatch.setenv(name, value)
        for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.0)
        monkeypatch.setattr("botocore.loaders.JSONFileLoader.load_file", s3_description)
        if manner == "amazon":
            monkeypatch.setattr(s3, "AMAZON", ("127.0.0.1",))
        moto_api_backend.reset()
        client = s3_client(manner)
        client.create_bucket(Bucket=BUCKET)
        return client

    return open_one
