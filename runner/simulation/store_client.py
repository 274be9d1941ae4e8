"""The client of a simulated store, in place of boto3's: what ``trainer.checkpoints.bucket`` asks of that one.

``tests/contract/test_store_stand_in.py`` holds answers and errors to boto3's own in front of the emulated stores.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from runner.simulation.store import BUSY, DENIED, DOWN, LATE, MUTE, SimulatedStore
from trainer.checkpoints.bucket import Bucket
from trainer.checkpoints.places import Place
from trainer.errors import StoreError

T = TypeVar("T")
AMAZONS = "https://s3.amazonaws.com"
PAGE = 5
"""Entries of a page of a listing, of which S3 gives a thousand: pages are there to be turned."""
BIG = (".safetensors", "optimizer.pt")
"""Objects that take their time."""
NOT_FOUND, FORBIDDEN, BAD, SLOW_DOWN, NO_SUCH = 404, 403, 400, 503, 501
HEAD_WORDS = {NOT_FOUND: "Not Found", FORBIDDEN: "Forbidden", BAD: "Bad Request", SLOW_DOWN: "Service Unavailable"}


@dataclass(frozen=True)
class Asker:
    """Who speaks to a store.

    Attributes:
        name: What to call it in the history.
        wait: Lets time pass; where it is killed meanwhile, that raises.
        is_cut: Whether it has no network now.
        own_keys: The keys that boto3 finds there by itself.
        need_room: Raises where its disk is full.
    """

    name: str
    wait: Callable[[float], None]
    is_cut: Callable[[], bool]
    own_keys: Mapping[str, str]
    need_room: Callable[[Path], None]


def open_simulated(
    store: SimulatedStore,
    asker: Asker,
    url: str,
    endpoint_url: str | None,
    keys: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
    rclone: str | None = None,
    at_once: int | None = None,
) -> Place:
    """Return a place of a simulated store, by ``open_place``'s arguments.

    It is the product's own bucket over the client here. One thing is moved at a time: a life has no threads.

    Raises:
        StoreError: If it is no address of a bucket.
    """
    del rclone, at_once
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3":
        raise StoreError(f"sync: {url} is no address of a simulated store", resolution="write s3://bucket/prefix")

    def connected(address: str | None, given: Mapping[str, str], _: Path | None) -> tuple[StoreClient, None, None]:
        return StoreClient(store, asker, address or AMAZONS, given or asker.own_keys), None, None

    return Bucket(bucket, prefix.strip("/"), endpoint_url, keys, ca_file, 1, connected=connected)


class StoreClient:
    """What boto3's client does, as far as buckets ask for it."""

    def __init__(self, store: SimulatedStore, asker: Asker, address: str, keys: Mapping[str, str]) -> None:
        """Ask nothing yet.

        Args:
            store: The store.
            asker: Who asks.
            address: Of the endpoint.
            keys: What requests are signed with.
        """
        self._store, self._asker, self._keys = store, asker, keys
        self.meta = SimpleNamespace(endpoint_url=address, events=SimpleNamespace(register=lambda *_: None))

    def get_paginator(self, operation: str) -> StoreClient:
        """Return what turns the pages of a listing."""
        if operation != "list_objects_v2":
            raise NotImplementedError(operation)
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:  # noqa: N803 - boto3's own names
        """Yield the pages of a listing."""
        del Bucket
        last = ""
        while True:
            page = self._ask("ListObjectsV2", partial(self._listed, Prefix, last))
            yield {"Contents": page[:PAGE]} if page else {}
            if len(page) <= PAGE:
                return
            last = page[PAGE - 1]["Key"]

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        """Return what there is to know of an object."""
        del Bucket
        return self._ask("HeadObject", lambda: self._head("HeadObject", Key))

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        """Return an object."""
        del Bucket
        head = self._ask("GetObject", lambda: self._head("GetObject", Key), of=Key)
        return head | {"Body": io.BytesIO(self._store.objects[Key].content)}

    def put_object(
        self,
        *,
        Bucket: str,  # noqa: N803
        Key: str,  # noqa: N803
        Body: bytes,  # noqa: N803
        Metadata: Mapping[str, str],  # noqa: N803
        ChecksumAlgorithm: str = "",  # noqa: N803
    ) -> dict[str, Any]:
        """Write an object."""
        del Bucket
        return self._ask("PutObject", lambda: self._put(Key, Body, Metadata, ChecksumAlgorithm), of=Key)

    def delete_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        """Remove an object; nothing there is fine."""
        del Bucket
        self._ask("DeleteObject", lambda: self._store.remove(self._asker.name, Key))
        return {}

    def upload_file(self, path: str, bucket: str, key: str, *, ExtraArgs: Mapping[str, Any], Config: object) -> None:  # noqa: N803
        """Write an object from a file; see boto3's method of this name."""
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import ClientError

        del Config
        content = Path(path).read_bytes()
        try:
            self.put_object(Bucket=bucket, Key=key, Body=content, **ExtraArgs)
        except ClientError as err:
            raise S3UploadFailedError(f"Failed to upload {path} to {bucket}/{key}: {err}") from err

    def download_file(self, bucket: str, key: str, path: str, *, Config: object) -> None:  # noqa: N803
        """Bring an object into a file; boto3 looks first where it wants a checksum, which only Amazon's gives."""
        del Config
        if self._store.manner == "amazon":
            self.head_object(Bucket=bucket, Key=key)
        content = self.get_object(Bucket=bucket, Key=key)["Body"].read()
        self._asker.need_room(Path(path))
        Path(path).write_bytes(content)

    def _ask(self, operation: str, act: Callable[[], T], *, of: str = "") -> T:
        """Make a request: it takes its time, may not arrive, be refused, or be done without an answer."""
        from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ReadTimeoutError

        store, asker, rates, address = self._store, self._asker, self._store.rates, self.meta.endpoint_url
        if not self._keys:
            raise NoCredentialsError
        asker.wait(rates.way_s + (store.big_s if of.endswith(BIG) else 0.0))
        trouble = store.trouble()
        if trouble == DOWN or asker.is_cut():
            asker.wait(rates.give_up_s)
            raise EndpointConnectionError(endpoint_url=address)
        if trouble == BUSY:
            asker.wait(rates.busy_s)
            raise refused(operation, SLOW_DOWN, "SlowDown")
        refusal = (FORBIDDEN, "AccessDenied") if trouble == DENIED else store.refusal(self._keys)
        if refusal is not None:
            raise refused(operation, *refusal)
        answer = act()
        if trouble == MUTE:
            asker.wait(rates.give_up_s)
            raise ReadTimeoutError(endpoint_url=address)
        asker.wait(rates.late_s if trouble == LATE else rates.way_s)
        return answer

    def _listed(self, prefix: str, after: str) -> list[dict[str, Any]]:
        """Return the entries of a page, and one more where there is another page."""
        keys = sorted(key for key in self._store.objects if key.startswith(prefix) and key > after)[: PAGE + 1]
        found = [(key, self._store.objects[key]) for key in keys]
        return [
            {"Key": key, "Size": len(one.content), "LastModified": one.modified, "ETag": one.etag} for key, one in found
        ]

    def _head(self, operation: str, key: str) -> dict[str, Any]:
        found = self._store.objects.get(key)
        if found is None:
            raise refused(operation, NOT_FOUND, "NoSuchKey")
        return {"ContentLength": len(found.content), "Metadata": dict(found.metadata), "ETag": found.etag}

    def _put(self, key: str, content: bytes, metadata: Mapping[str, str], checksum: str) -> dict[str, Any]:
        if checksum and self._store.manner == "gateway":
            raise refused("PutObject", NO_SUCH, "NotImplemented")
        self._store.write(self._asker.name, key, content, metadata)
        return {"ETag": self._store.objects[key].etag}


def refused(operation: str, status: int, code: str) -> Exception:
    """Return botocore's error for a refusal; an answer to HEAD has no body that could say more than its status."""
    from botocore.exceptions import ClientError

    is_head = operation == "HeadObject"
    words = {"Code": str(status) if is_head else code, "Message": HEAD_WORDS.get(status, code) if is_head else code}
    error: Exception = ClientError({"Error": words, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)
    return error
