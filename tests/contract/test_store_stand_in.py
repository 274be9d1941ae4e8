"""The simulated lives' store, held to boto3 in front of our emulated S3: the same calls, answers and refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from runner.clouds.aws.api import PrefixCredentials, open_aws
from runner.emulation.s3.account import ACCESS_KEY_ID, BUCKET, NUMBER, ROLE_ARN, SECRET_KEY
from runner.emulation.s3.requests import RefusalError
from runner.emulation.s3.server import S3Server
from runner.simulation.store import BUSY, DENIED, DOWN, SimulatedRole, SimulatedStore
from runner.simulation.store_client import Asker, StoreClient
from runner.simulation.store_seams import USERS_KEYS
from runner.simulation.world import VirtualWorld
from tests.unit.runner.conftest import bucket
from tests.unit.runner.store.parts import ROLE
from trainer.checkpoints import bucket as buckets
from trainer.checkpoints.bucket_refusals import told
from trainer.errors import StoreError

__all__ = ["bucket"]

pytestmark = pytest.mark.enable_socket
REAL_KEYS = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_DEFAULT_REGION": "us-east-1",
}
REFUSALS = {BUSY: ("503 Slow Down", "SlowDown"), DENIED: ("403 Forbidden", "AccessDenied")}


@dataclass
class Shop:
    """A store and its client, real or not."""

    client: Any
    folder: Path
    be: Callable[[str], None]
    """Lets it answer badly from now on, in one of our words."""
    with_keys: Callable[[Mapping[str, str]], Any]
    """Returns a client with other keys."""


@pytest.fixture(params=["amazon", "gateway"])
def manner(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shops(
    manner: str,
    open_bucket: Callable[[str], Any],
    s3_server: Callable[[str], S3Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Shop, Shop]]:
    """The real store and the simulated one, both empty."""
    open_bucket(manner)
    server = s3_server(manner)
    monkeypatch.setattr(buckets, "RETRIES", 0)
    monkeypatch.setattr("runner.emulation.s3.manners.BUSY_EVERY", 10**9)  # its tries again are boto3's affair
    with simulated(manner, tmp_path / "simulated") as ours:
        real = _real(server, tmp_path / "real")
        yield real, ours
        server.trouble = lambda _: None


def _real(server: S3Server, folder: Path) -> Shop:
    folder.mkdir()

    def client(keys: Mapping[str, str], url: str = server.url) -> Any:
        return buckets.connect(url, keys, server.ca_file)[0]

    shop = Shop(client(REAL_KEYS), folder, lambda _: None, client)

    def be(word: str) -> None:
        if word == DOWN:
            shop.client = client(REAL_KEYS, "https://127.0.0.1:1")
            return

        def refuse(_: object) -> None:
            raise RefusalError(*REFUSALS[word])

        server.trouble = refuse

    shop.be = be
    return shop


@contextmanager
def simulated(manner: Any, folder: Path) -> Iterator[Shop]:
    """Yield a simulated store."""
    folder.mkdir()
    with VirtualWorld() as world:
        turns = world.computer.turns
        store = SimulatedStore(manner, turns, world.computer.chance, lambda _: None, has_weather=False)
        asker = Asker("me", world.sleep, lambda: False, USERS_KEYS, lambda _: None)
        yield Shop(
            StoreClient(store, asker, "https://store", USERS_KEYS),
            folder,
            lambda word: store.troubles.append((0.0, 1e9, word)),
            lambda keys: StoreClient(store, asker, "https://store", keys),
        )


def seen(act: Callable[[], Any]) -> Any:
    """Return what the product sees of a call: what it needs of the answer, or the error that it makes of a failure."""
    try:
        with told("s3://there"):
            answer = act()
    except FileNotFoundError:
        return "missing"
    except StoreError as err:
        return err.message, err.resolution
    if not isinstance(answer, dict):
        return answer
    found = {name: answer[name] for name in ("ContentLength", "Metadata") if name in answer}
    return found | ({"Body": answer["Body"].read()} if "Body" in answer else {})


def put(shop: Shop, name: str, content: bytes, **more: Any) -> Any:
    return shop.client.put_object(Bucket=BUCKET, Key=f"a/{name}", Body=content, Metadata={"sha256": "s"}, **more)


def listed(shop: Shop) -> list[tuple[str, int]]:
    pages = shop.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="a/")
    return [(entry["Key"], entry["Size"]) for page in pages for entry in page.get("Contents", [])]


def up(shop: Shop, name: str, content: bytes) -> None:
    (shop.folder / "file").write_bytes(content)
    more = {"Metadata": {"sha256": "s"}}
    shop.client.upload_file(
        str(shop.folder / "file"), BUCKET, f"a/{name}", ExtraArgs=more, Config=TransferConfig(use_threads=False)
    )


def down(shop: Shop, name: str) -> bytes:
    path = shop.folder / "back"
    shop.client.download_file(BUCKET, f"a/{name}", str(path), Config=TransferConfig(use_threads=False))
    return path.read_bytes()


CALLS: Mapping[str, Callable[[Shop], Any]] = {
    "list": listed,
    "head": lambda shop: shop.client.head_object(Bucket=BUCKET, Key="a/b"),
    "get": lambda shop: shop.client.get_object(Bucket=BUCKET, Key="a/b"),
    "put": lambda shop: seen(lambda: put(shop, "b", b"content")) and None,
    "upload": lambda shop: up(shop, "b", b"content"),
    "download": lambda shop: down(shop, "b"),
    "delete": lambda shop: seen(lambda: shop.client.delete_object(Bucket=BUCKET, Key="a/b")) and None,
}
"""Each call that buckets make; of an answer to a change nothing is looked at."""


def test_what_is_there_is_answered_alike(shops: tuple[Shop, Shop]) -> None:
    for number in range(12):
        assert [put(shop, f"{number:02}", b"x" * number) is not None for shop in shops] == [True, True]
    for name, call in CALLS.items():
        before = [seen(lambda shop=shop, call=call: call(shop)) for shop in shops]
        assert before[0] == before[1], name
    for shop in shops:
        put(shop, "b", b"content")
    for name, call in CALLS.items():
        after = [seen(lambda shop=shop, call=call: call(shop)) for shop in shops]
        assert after[0] == after[1], name


def test_an_etag_is_the_md5_of_a_small_object_or_says_nothing(manner: str, shops: tuple[Shop, Shop]) -> None:
    md5 = "9a0364b9e99bb480dd25e1f0284c8555"
    etags = []
    for shop in shops:
        put(shop, "b", b"content")
        etags.append(shop.client.head_object(Bucket=BUCKET, Key="a/b")["ETag"].strip('"'))

    assert [etag == md5 for etag in etags] == [manner == "amazon"] * 2


def test_a_gateway_takes_no_checksum_and_amazons_does(manner: str, shops: tuple[Shop, Shop]) -> None:
    answers = [seen(lambda shop=shop: put(shop, "b", b"content", ChecksumAlgorithm="SHA256")) for shop in shops]

    assert answers[0] == answers[1]
    assert isinstance(answers[0], tuple) == (manner == "gateway")


@pytest.mark.parametrize("word", [BUSY, DENIED, DOWN])
def test_a_store_in_trouble_is_seen_alike(word: str, shops: tuple[Shop, Shop]) -> None:
    for shop in shops:
        put(shop, "b", b"content")
        shop.be(word)

    for name in ("list", "head", "get", "upload", "download"):
        answers = [seen(lambda shop=shop, call=CALLS[name]: call(shop)) for shop in shops]
        assert answers[0] == answers[1], name
        assert isinstance(answers[0], tuple), name


def test_keys_that_open_nothing_are_refused_alike(shops: tuple[Shop, Shop]) -> None:
    wrong = {"AWS_ACCESS_KEY_ID": "ASIANOBODY", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    answers = []
    for shop in shops:
        shop.client = shop.with_keys(wrong)
        answers.append([seen(lambda shop=shop, call=CALLS[name]: call(shop)) for name in ("list", "upload", "get")])

    assert answers[0] == answers[1]
    assert all("InvalidAccessKeyId" in message for message, _ in answers[0])


def test_keys_of_a_role_end(shops: tuple[Shop, Shop]) -> None:
    from moto.sts.models import sts_backends

    session = sts_backends[NUMBER]["aws"].assume_role("us-east-1", "a-run", ROLE_ARN, "", 900, "")
    real, ours = shops
    store = ours.client._store
    granted: PrefixCredentials = store.grant(900)
    theirs = SimpleNamespace(
        access_key_id=session.access_key_id,
        secret_access_key=session.secret_access_key,
        session_token=session.session_token,
    )
    for shop, found in ((real, theirs), (ours, granted)):
        shop.client = shop.with_keys(
            {
                "AWS_ACCESS_KEY_ID": found.access_key_id,
                "AWS_SECRET_ACCESS_KEY": found.secret_access_key,
                "AWS_SESSION_TOKEN": found.session_token,
                "AWS_DEFAULT_REGION": "us-east-1",
            }
        )
    served = [seen(lambda shop=shop: up(shop, "b", b"content")) for shop in shops]
    session.expiration = session.expiration.replace(year=2000)
    ours.client._asker.wait(901.0)
    ended = [seen(lambda shop=shop: up(shop, "b", b"content")) for shop in shops]

    assert served == [None, None]
    assert ended[0] == ended[1]
    assert "ExpiredToken" in ended[0][0]


def test_a_role_is_given_for_as_long_as_is_asked(bucket: object) -> None:
    """Of a role that is given for less the product's own tests know how AWS says no."""
    real = open_aws({"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "my-secret"}, now=lambda: datetime.now(UTC))
    began = datetime.now(UTC)
    with VirtualWorld() as world:
        store = SimulatedStore("amazon", world.computer.turns, world.computer.chance, lambda _: None, has_weather=False)
        ours = SimulatedRole(store, world.sleep, lambda: False)
        found = [one.sts_credentials_for_prefix(BUCKET, "runs/one", ROLE, 900) for one in (real, ours)]
        left_s = [(one.expires_at - now).total_seconds() for one, now in zip(found, (began, store.now), strict=True)]

    assert [type(one) for one in found] == [PrefixCredentials] * 2
    assert all(one.access_key_id and one.secret_access_key and one.session_token for one in found)
    assert [round(seconds / 900) for seconds in left_s] == [1, 1]
