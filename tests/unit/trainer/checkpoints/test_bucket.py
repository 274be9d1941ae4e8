"""A bucket over TLS: what sets Amazon's apart, certificates of one's own, and stores that are odd or busy."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from s3transfer.exceptions import S3DownloadFailedError

from runner.emulation.s3.account import BUCKET
from runner.emulation.s3.certificates import make_certificates
from runner.emulation.s3.manners import MANNERS
from runner.emulation.s3.server import S3Server
from tests.unit.trainer.checkpoints.boto3_answers import change_answers
from trainer.__main__ import main
from trainer.checkpoints import bucket as s3
from trainer.checkpoints.complete import REQUIRED_FILES, complete
from trainer.checkpoints.connection import Connection
from trainer.checkpoints.places import open_place
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push, push_checkpoint
from trainer.checkpoints.sums import SUMS_NAME
from trainer.errors import StoreError

URL = f"s3://{BUCKET}/p"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with two files."""
    (tmp_path / "data" / "in").mkdir(parents=True)
    (tmp_path / "data" / "a").write_text("one")
    (tmp_path / "data" / "in" / "b").write_text("two")
    return tmp_path / "data"


def keys(client: Any) -> list[str]:
    return sorted(entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", []))


def test_a_store_that_keeps_no_metadata_has_its_sums_beside_the_files(
    open_bucket: Callable[[str], Any], data: Path
) -> None:
    client = open_bucket("gateway")

    push(data, URL)

    assert keys(client) == [f"p/{SUMS_NAME}", "p/a", f"p/in/{SUMS_NAME}", "p/in/b"]


@pytest.mark.parametrize("manner", ["amazon", "strict"])
def test_a_store_that_keeps_metadata_needs_no_sums(open_bucket: Callable[[str], Any], data: Path, manner: str) -> None:
    client = open_bucket(manner)

    push(data, URL)

    assert keys(client) == ["p/a", "p/in/b"]


def test_amazon_checks_the_sha256_of_what_arrives(open_bucket: Callable[[str], Any], data: Path) -> None:
    client = open_bucket("amazon")

    push(data, URL)

    head = client.head_object(Bucket=BUCKET, Key="p/a", ChecksumMode="ENABLED")
    assert base64.b64decode(head["ChecksumSHA256"]) == hashlib.sha256(b"one").digest()


@pytest.mark.parametrize("word", [None, "amazonaws.com", "amazonaws.com.cn"])
def test_only_amazons_own_addresses_are_spoken_to_as_amazon(word: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    address = None if word is None else f"https://s3.eu-west-1.{word}"

    def calculation(endpoint_url: str | None) -> str:
        client = s3.Bucket("b", "", endpoint_url, {"AWS_DEFAULT_REGION": "eu-west-1"})._client
        return str(client.meta.config.request_checksum_calculation)

    assert calculation(address) == "when_supported"
    assert calculation(f"https://{word or 'amazonaws.com'}.example") == "when_required"


def test_what_a_gateway_damaged_is_reported_by_its_sum(
    open_bucket: Callable[[str], Any], data: Path, tmp_path: Path
) -> None:
    client = open_bucket("gateway")
    push(data, URL)
    sums = client.get_object(Bucket=BUCKET, Key=f"p/{SUMS_NAME}")["Body"].read()
    client.put_object(Bucket=BUCKET, Key="p/a", Body=b"xxx")
    client.put_object(Bucket=BUCKET, Key=f"p/{SUMS_NAME}", Body=sums)

    with pytest.raises(StoreError, match="a came down damaged"):
        pull(URL, tmp_path / "back")


def test_an_etag_alone_calls_nothing_damaged(bucket: Any, tmp_path: Path) -> None:
    """What others put there in parts, or encrypted, has an ETag that is no MD5 and looks like one."""
    bucket.put_object(Bucket=BUCKET, Key="p/a", Body=b"abc", Metadata={"theirs": "x"})

    def other_etag(name: str, _: Any, answer: Any) -> Any:
        return {**answer, "ETag": f'"{"0" * 32}"'} if name == "HeadObject" else answer

    with pytest.MonkeyPatch.context() as patch:
        change_answers(patch, other_etag)
        done = pull(URL, tmp_path / "back")

    assert done.files == 1
    assert (tmp_path / "back" / "a").read_text() == "abc"


def test_metadata_whose_name_comes_back_in_capitals_counts(
    open_bucket: Callable[[str], Any], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_bucket("strict")

    def capitals(name: str, _: Any, answer: Any) -> Any:
        if name == "HeadObject":
            answer["Metadata"] = {key.title(): value for key, value in answer["Metadata"].items()}
            answer["ETag"] = '"opaque"'
        return answer

    change_answers(monkeypatch, capitals)
    push(data, URL)

    assert push(data, URL).files == 0
    assert keys(client) == ["p/a", "p/in/b"]


def test_a_store_whose_etags_change_from_answer_to_answer_is_read_in_one_stream(
    bucket: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*words: Any, **options: Any) -> None:
        raise S3DownloadFailedError("Contents of stored object did not match expected ETag.")

    push(data, URL)
    monkeypatch.setattr("trainer.checkpoints.direct.Direct.is_usable", False)
    monkeypatch.setattr("trainer.checkpoints.direct.Direct.get", lambda *_: None)
    monkeypatch.setattr("boto3.s3.transfer.S3Transfer.download_file", fail)

    assert pull(URL, tmp_path / "back").files == 2
    assert (tmp_path / "back" / "in" / "b").read_text() == "two"


@pytest.mark.parametrize("is_usable", [True, False], ids=["parts", "boto3"])
@pytest.mark.parametrize("is_ignored", [True, False], ids=["ignored", "another"])
def test_a_store_that_ignores_ranges_or_says_others_is_read_in_one_stream(
    open_bucket: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_ignored: bool,
    is_usable: bool,
) -> None:
    open_bucket("strict")
    monkeypatch.setattr("trainer.checkpoints.direct.Direct.is_usable", is_usable)
    monkeypatch.setattr("trainer.checkpoints.direct.Direct.get_part", lambda *_: None)
    big = tmp_path / "data" / "big"
    big.parent.mkdir()
    big.write_bytes(bytes(range(256)) * (s3.PART_BYTES // 256) + b"and a little of a second part")
    push(big.parent, URL)
    asked, bodies = BaseClient._make_api_call, list[Any]()

    def careless(client: Any, name: str, values: Any) -> Any:
        kept = {key: values[key] for key in values if not (is_ignored and key == "Range")}
        answer = asked(client, name, kept)
        bodies.extend([answer["Body"]] if "Body" in answer else [])
        if "Range" in kept:  # the first part is where it should be, and so says the second
            answer["ContentRange"] = f"bytes 0-{answer['ContentLength'] - 1}/{big.stat().st_size}"
        return answer

    monkeypatch.setattr(BaseClient, "_make_api_call", careless)

    got = pull(URL, tmp_path / "back")
    for body in bodies:  # s3transfer leaves that of a part open which it refuses
        body.close()

    assert got.files == 1
    assert (tmp_path / "back" / "big").read_bytes() == big.read_bytes()


def test_a_store_that_stays_busy_is_reported(
    open_bucket: Callable[[str], Any], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_bucket("gateway")
    monkeypatch.setattr("runner.emulation.s3.manners.BUSY_EVERY", 1)

    with pytest.raises(StoreError, match="refuses: SlowDown") as caught:
        push(data, URL)

    assert "wait some minutes" in (caught.value.resolution or "")


def test_a_busy_store_is_asked_again(
    open_bucket: Callable[[str], Any], s3_server: Callable[[str], S3Server], data: Path
) -> None:
    open_bucket("gateway")
    requests = s3_server("gateway").requests
    requests.clear()
    for number in range(8):
        (data / f"more-{number}").write_text(str(number))

    assert push(data, URL).files == 10
    assert [asked.refused for asked in requests].count("SlowDown") >= 2


def test_a_bucket_is_filled_and_read_in_one_thread_where_that_is_asked(
    open_bucket: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small files, and one that goes up and comes down in parts."""
    open_bucket("strict")
    monkeypatch.setattr(s3, "PART_BYTES", 5 << 20)
    folder, step = tmp_path / "here", "checkpoint-2"
    (folder / step).mkdir(parents=True)
    for name in REQUIRED_FILES:
        (folder / step / name).write_text(name)
    (folder / step / "optimizer.pt").write_bytes(bytes(11 << 20))
    complete(folder / step, 2, {"recipe": "r"})
    place = open_place(URL, None, at_once=1)
    assert isinstance(place, s3.Bucket)
    threads: list[int] = []
    ask = Connection.ask

    def noted(*words: Any) -> tuple[int, dict[str, str]]:
        threads.append(threading.get_ident())
        return ask(*words)

    monkeypatch.setattr(Connection, "ask", noted)
    place._client.meta.events.register("before-send.s3", lambda **_: threads.append(threading.get_ident()))

    done = push_checkpoint(place, folder, step)
    asked = len(threads)
    place.get(f"{step}/optimizer.pt", tmp_path / "back")

    assert done.checkpoint == 2
    assert asked > len(REQUIRED_FILES) + 3
    assert len(threads) > asked + 2
    assert {*threads} == {threading.get_ident()}
    assert (tmp_path / "back").stat().st_size == 11 << 20


# certificates


@pytest.fixture(params=MANNERS)
def server(
    request: pytest.FixtureRequest,
    open_bucket: Callable[[str], Any],
    s3_server: Callable[[str], S3Server],
    monkeypatch: pytest.MonkeyPatch,
) -> S3Server:
    """A store with an empty bucket, which nothing in the environment leads to or vouches for."""
    open_bucket(request.param)
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name)
    return s3_server(request.param)


def test_certificates_of_ones_own_are_trusted_by_the_client_that_was_given_them_alone(
    server: S3Server, data: Path, tmp_path: Path
) -> None:
    push(data, URL, endpoint_url=server.url, ca_file=server.ca_file)

    assert pull(URL, tmp_path / "back", endpoint_url=server.url, ca_file=server.ca_file).files == 2
    with pytest.raises(StoreError, match="has a certificate that is not trusted") as caught:
        pull(URL, tmp_path / "back", endpoint_url=server.url)
    assert "store.ca_file" in (caught.value.resolution or "")


def test_another_authority_is_not_trusted(server: S3Server, data: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other, _ = make_certificates(tmp_path / "other")

    with pytest.raises(StoreError, match="has a certificate that is not trusted"):
        push(data, URL, endpoint_url=server.url, ca_file=other)


@pytest.mark.parametrize("content", [None, b"", b"not a certificate", b"\xff\x00"])
def test_a_file_without_certificates_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(StoreError, match=r"store\.ca_file is .*ca\.pem, which holds no certificates") as caught:
        open_place(URL, "https://s3.example", None, path)
    assert "BEGIN CERTIFICATE" in (caught.value.resolution or "")


def test_the_command_line_takes_certificates(server: S3Server, data: Path, tmp_path: Path) -> None:
    words = ["--url", URL, "--endpoint-url", server.url, "--ca-file", str(server.ca_file)]

    assert main(["sync", "push", "--folder", str(data), *words]) == 0
    assert main(["sync", "pull", "--folder", str(tmp_path / "back"), *words]) == 0
    assert (tmp_path / "back" / "a").read_text() == "one"
