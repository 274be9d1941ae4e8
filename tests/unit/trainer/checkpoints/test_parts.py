"""A big object comes in parts, is hashed on the way, and comes as a whole where its store gives no parts."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ResponseStreamingError

from runner.emulation.s3.account import BUCKET
from runner.emulation.s3.manners import MANNERS
from runner.emulation.s3.server import S3Server
from tests.unit.trainer.checkpoints.boto3_answers import change_answers
from trainer.checkpoints import bucket as s3
from trainer.checkpoints.bucket import Bucket
from trainer.checkpoints.connection import Connection
from trainer.checkpoints.direct import Direct
from trainer.checkpoints.parts import Part, Write, get_parts
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push
from trainer.errors import StoreError

URL = f"s3://{BUCKET}/p"
CONTENT = random.Random(1).randbytes((10 << 20) + 17)
PARTS = 3
"""Of five MiB each, the least that S3 takes in an upload."""


def a_store(
    content: bytes, etag: Callable[[Part], str] = lambda _: '"e"'
) -> Callable[[Part, Write], Mapping[str, Any]]:
    """Return what brings parts, the later ones first."""

    def get(part: Part, write: Write) -> Mapping[str, Any]:
        time.sleep(0.05 if part.begin == 0 else 0)
        middle = (part.begin + part.end) // 2
        write(memoryview(content)[middle : part.end], middle)
        write(memoryview(content)[part.begin : middle], part.begin)
        return {"ETag": etag(part), "first": part.begin}

    return get


@pytest.mark.parametrize("part_bytes", [1, 3, 10, 11, 12])
@pytest.mark.parametrize("at_once", [1, 4])
def test_parts_make_the_whole_in_whatever_order_they_come(tmp_path: Path, part_bytes: int, at_once: int) -> None:
    content = b"hello world"

    came = get_parts(tmp_path / "a", len(content), part_bytes, at_once, a_store(content))

    assert (tmp_path / "a").read_bytes() == content
    assert came == (hashlib.sha256(content).hexdigest(), {"ETag": '"e"', "first": 0})


def test_parts_of_different_objects_make_none(tmp_path: Path) -> None:
    assert get_parts(tmp_path / "a", 9, 3, 2, a_store(b"123456789", lambda part: str(part.begin // 6))) is None
    assert get_parts(tmp_path / "a", 9, 3, 2, lambda part, _: None if part.begin else {"ETag": ""}) is None


def test_a_full_disk_is_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        get_parts(tmp_path / "a", 1000, 10, 2, a_store(bytes(1000)))


def test_a_write_that_takes_a_piece_in_bits_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, piece, at: write(file, piece[:2], at))

    get_parts(tmp_path / "a", 11, 6, 2, a_store(b"hello world"))

    assert (tmp_path / "a").read_bytes() == b"hello world"


# in front of a store


@pytest.fixture
def big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file that takes several parts."""
    monkeypatch.setattr(s3, "PART_BYTES", 5 << 20)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "big").write_bytes(CONTENT)
    return folder


def pulled(tmp_path: Path) -> bytes:
    pull(URL, tmp_path / "back")
    return (tmp_path / "back" / "big").read_bytes()


@pytest.mark.parametrize("manner", ["amazon", "strict"])
def test_a_big_file_comes_back_in_one_request_for_each_part(
    open_bucket: Callable[[str], Any],
    s3_server: Callable[[str], S3Server],
    big: Path,
    tmp_path: Path,
    manner: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_bucket(manner)
    push(big, URL)
    requests = s3_server(manner).requests
    requests.clear()
    by_boto3 = noted_calls(monkeypatch)

    assert pulled(tmp_path) == CONTENT
    assert Counter(asked.method for asked in requests) == Counter(GET=1 + PARTS)
    assert by_boto3 == ["ListObjectsV2"]


def noted_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by each call of boto3's."""
    called: list[str] = []

    def noted(name: str, _: Any, answer: Any) -> Any:
        called.append(name)
        return answer

    change_answers(monkeypatch, noted)
    return called


def give_nothing(*_: Any) -> None:
    return None


def break_off_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections break while they bring a body, four times: each part, and one of them twice."""
    fill, left = Connection.fill, [None] * 4

    def broken(self: Connection, content: memoryview) -> None:
        if left:
            left.pop()
            raise ConnectionResetError
        fill(self, content)

    monkeypatch.setattr(Connection, "fill", broken)


def give_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Direct, "get_part", give_nothing)


@pytest.mark.parametrize("spoil", [break_off_first, give_none])
@pytest.mark.parametrize("manner", MANNERS)
def test_a_part_that_does_not_come_at_once_is_boto3s(
    open_bucket: Callable[[str], Any],
    big: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    manner: str,
    spoil: Callable[[pytest.MonkeyPatch], None],
) -> None:
    open_bucket(manner)
    push(big, URL)
    spoil(monkeypatch)
    if manner == "gateway":
        monkeypatch.setattr("runner.emulation.s3.manners.BUSY_EVERY", 3)
    by_boto3 = noted_calls(monkeypatch)

    assert pulled(tmp_path) == CONTENT
    assert "GetObject" in by_boto3


class GivenBody:
    """A body that gives other pieces than the store has sent."""

    def __init__(self, body: Any, pieces: Iterable[bytes]) -> None:
        self._body, self._pieces = body, pieces

    def iter_chunks(self, size_bytes: int) -> Iterator[bytes]:
        yield from self._pieces

    def close(self) -> None:
        self._body.close()


@pytest.mark.parametrize("times", [2, 100])
def test_a_part_whose_connection_breaks_is_asked_for_again(
    open_bucket: Callable[[str], Any], big: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    open_bucket("strict")
    push(big, URL)
    give_none(monkeypatch)
    left = [None] * times

    def broken_off(body: Any) -> Iterator[bytes]:
        yield next(body.iter_chunks(1 << 10))
        raise ResponseStreamingError(error="it broke off")

    def breaking(_: str, values: Any, answer: Any) -> Any:
        if "Range" in values and left:
            left.pop()
            answer["Body"] = GivenBody(answer["Body"], broken_off(answer["Body"]))
        return answer

    change_answers(monkeypatch, breaking)
    if times < s3.PART_TRIES:
        assert pulled(tmp_path) == CONTENT
    else:
        with pytest.raises(StoreError, match="ResponseStreamingError"):
            pulled(tmp_path)


@pytest.mark.parametrize("change", [lambda body: body[:-1], lambda body: body + b"more"], ids=["short", "long"])
def test_a_part_of_another_length_is_asked_for_again(
    open_bucket: Callable[[str], Any],
    big: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[bytes], bytes],
) -> None:
    """A body in chunks has no length that boto3 could hold it to."""
    open_bucket("strict")
    push(big, URL)
    give_none(monkeypatch)
    changed: list[str] = []

    def other(name: str, values: Any, answer: Any) -> Any:
        if values.get("Range", "").startswith("bytes=0-") and not changed:
            changed.append(name)
            answer["Body"] = GivenBody(answer["Body"], [change(answer["Body"].read())])
        return answer

    change_answers(monkeypatch, other)

    assert pulled(tmp_path) == CONTENT
    assert changed


def test_a_store_without_etags_gives_parts_as_well(
    open_bucket: Callable[[str], Any], big: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_bucket("strict")
    push(big, URL)
    give_none(monkeypatch)

    def without(_: str, values: Any, answer: Any) -> Any:
        return {key: answer[key] for key in answer if key != "ETag"} if "Range" in values else answer

    change_answers(monkeypatch, without)

    assert pulled(tmp_path) == CONTENT


def test_what_fails_half_way_leaves_nothing_on_the_disk(
    open_bucket: Callable[[str], Any], big: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_bucket("strict")
    push(big, URL)
    write = os.pwrite

    def full(file: int, piece: Any, at: int) -> int:
        if at > 6 << 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, piece, at)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        pulled(tmp_path)

    assert [path for path in (tmp_path / "back").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("new", [CONTENT[: 6 << 20], CONTENT * 2, b"short"], ids=["shorter", "longer", "small"])
def test_a_file_that_was_replaced_since_it_was_listed_comes_as_it_is_now(
    open_bucket: Callable[[str], Any], big: Path, tmp_path: Path, new: bytes
) -> None:
    client = open_bucket("strict")
    push(big, URL)
    place = Bucket(BUCKET, "p", None, None)
    place.sizes()
    client.put_object(Bucket=BUCKET, Key="p/big", Body=new)

    place.get("big", tmp_path / "came")

    assert (tmp_path / "came").read_bytes() == new


def test_what_was_replaced_between_two_parts_comes_in_one_stream(
    open_bucket: Callable[[str], Any], big: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_bucket("strict")
    push(big, URL)
    monkeypatch.setattr(s3, "PARTS_AT_ONCE", 1)
    get_part, new = Direct.get_part, CONTENT[::-1]

    def replaced(self: Direct, key: str, part: Part, write: Write) -> Any:
        if part.begin:
            client.put_object(Bucket=BUCKET, Key=key, Body=new)
        return get_part(self, key, part, write)

    monkeypatch.setattr(Direct, "get_part", replaced)
    place = Bucket(BUCKET, "p", None, None)
    place.sizes()

    assert place.get("big", tmp_path / "came") is None
    assert (tmp_path / "came").read_bytes() == new


def test_what_came_damaged_is_not_taken(
    open_bucket: Callable[[str], Any], big: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum of what is on this disk counts, not of what the network brought."""
    open_bucket("strict")
    push(big, URL)
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, piece, at: write(file, bytes(len(piece)), at))

    with pytest.raises(StoreError, match="big came down damaged"):
        pulled(tmp_path)
    assert not (tmp_path / "back" / "big").exists()
