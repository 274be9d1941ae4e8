"""A prefix of a bucket that speaks S3: Amazon's with all it has, any other in the words that every S3 knows.

Amazon's takes a body in chunks with a checksum behind it, and keeps metadata with each object. Others may refuse the
one and drop the other: they get plain bodies, whose SHA-256 the signature covers, and where no metadata comes back the
sums are kept in files (``trainer.checkpoints.sums``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from threading import BoundedSemaphore
from typing import Any
from urllib.parse import urlparse

from trainer.checkpoints.bucket_refusals import told
from trainer.checkpoints.direct import MOST_BYTES, PIECE_BYTES, Direct
from trainer.checkpoints.parts import Part, Write, get_parts
from trainer.checkpoints.sums import SUMS_NAME, Sums
from trainer.checkpoints.transfer import AT_ONCE
from trainer.errors import StoreError
from trainer.files import sha256_of_file

PART_BYTES = 16 << 20
PARTS_AT_ONCE = 8
FILES_AT_ONCE = 16
"""Of these ``transfer.AT_ONCE`` may be big; the others wait for answers most of their time."""
NO_SUCH_RANGE = 416
"""The answer to a part of an object that has become shorter."""
PART_TRIES = 5
"""How often a part is asked for whose connection breaks while it comes."""
RETRIES = 8
CONNECT_TIMEOUT_S = 20
READ_TIMEOUT_S = 120
HASH_KEY = "sha256"
"""Metadata of an object that holds the SHA-256 of its content; ETags of big objects say nothing of it."""
AMAZON = ("amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "api.aws")
PLAIN = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
"""boto3's settings for bodies in one piece, with the SHA-256 in the signature and no checksum behind them."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
NOT_AS_ASKED = ("S3DownloadFailedError", "S3ValidationError")
"""A part of another ETag, and one of another place. By their names: boto3 raises them from s3transfer, a package of its
own that Douse does not ask for."""
Connect = Callable[[str | None, Mapping[str, str], Path | None], tuple[Any, Any, Any]]
"""Returns boto3's client for an endpoint, with credentials and certificates: see ``connect``."""


class Bucket:
    """A prefix of a bucket that speaks S3."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        endpoint_url: str | None,
        keys: Mapping[str, str] | None,
        ca_file: Path | None = None,
        at_once: int | None = None,
        *,
        connected: Connect | None = None,
    ) -> None:
        """Connect with the first use; without keys, credentials are looked for where boto3 does.

        Args:
            bucket: Its name.
            prefix: What all names here begin with there.
            endpoint_url: Address of a store that speaks S3; ``None`` is Amazon's.
            keys: Credentials as variables.
            ca_file: Certificates that the store is judged by.
            at_once: Threads that speak to it; ``None`` for as many as serve.
            connected: Makes the client; ``None`` for boto3's.

        Raises:
            StoreError: If boto3 is not installed, or there are no certificates in ``ca_file``.
        """
        try:
            from boto3.s3.transfer import TransferConfig
        except ImportError as err:
            raise StoreError(
                f"sync: boto3 is not installed here, and s3://{bucket} needs it",
                resolution="install boto3 beside the trainer; `make sync` does so on the control side",
            ) from err

        self.at_once = at_once or FILES_AT_ONCE
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._url = f"s3://{bucket}/{prefix}"
        with told(self._url):
            self._client, *how = (connected or connect)(endpoint_url, keys or {}, ca_file)
        is_amazons = _is_amazons(self._client.meta.endpoint_url)
        self._checksum = {"ChecksumAlgorithm": "SHA256"} if is_amazons else {}
        self._keeps_metadata = True if is_amazons else None
        self._direct = Direct(self._client, *how, with_checksum=is_amazons)
        self._big = BoundedSemaphore(AT_ONCE)
        self._listed: dict[str, datetime] = {}
        self._sizes: dict[str, int] = {}
        self._came: dict[tuple[str, Path], Mapping[str, Any]] = {}
        self._sums = Sums(self.read, self.write, self._listed)
        self._transfer = TransferConfig(
            multipart_threshold=PART_BYTES,
            multipart_chunksize=PART_BYTES,
            max_concurrency=at_once or PARTS_AT_ONCE,
            use_threads=at_once != 1,
        )

    def takes_turns(self, size_bytes: int) -> bool:
        """Return whether it is small: with those there is more to do than to wait for."""
        return size_bytes <= MOST_BYTES

    def sizes(self) -> dict[str, int]:
        """Return all objects under the prefix with their sizes."""
        found: dict[str, int] = {}
        with told(self._url):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            for page in pages:
                for entry in page.get("Contents", []):
                    name = entry["Key"].removeprefix(self._prefix)
                    self._sizes[name] = int(entry["Size"])
                    self._listed[name] = entry.get("LastModified", LONG_AGO)
                    if not name.endswith("/") and PurePosixPath(name).name != SUMS_NAME:
                        found[name] = int(entry["Size"])
        return found

    def matches(self, name: str, path: Path, sha256: str | None = None) -> bool | None:
        """Compare by the SHA-256 that came with the object, else by that in its folder's sums.

        An ETag counts where it is the MD5 of the content. Where it is not, it says nothing: what it is made from is the
        store's own affair.
        """
        try:
            head = self._came.pop((name, path), None) or self._head(name)
        except FileNotFoundError:
            return False
        if head["ContentLength"] != path.stat().st_size:
            return False
        if (there := _hash_in(head) or self._sums.of(name)) is not None:
            is_same = there == (sha256 or sha256_of_file(path))
            if is_same:
                self._sums.keep(name)
            return is_same
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        return True if head.get("ETag", "").strip('"') == md5 else None

    def read(self, name: str) -> bytes:
        """Return the content of a small object."""
        with told(self._url):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            content: bytes = answer["Body"].read()
        return content

    def write(self, content: bytes, name: str) -> None:
        """Write a small object."""
        metadata = {HASH_KEY: hashlib.sha256(content).hexdigest()}
        with told(self._url):
            self._client.put_object(
                Bucket=self._bucket, Key=self._prefix + name, Body=content, Metadata=metadata, **self._checksum
            )

    def put(self, path: Path, name: str, sha256: str) -> None:
        """Upload a file, in parallel parts if it is big."""
        size_bytes = path.stat().st_size  # a missing file is reported as missing, not as a failed upload
        self._sums.before_change(name)
        metadata = {HASH_KEY: sha256}
        is_small = size_bytes <= MOST_BYTES
        if not (is_small and self._direct.put(self._prefix + name, path.read_bytes(), sha256, metadata)):
            with told(self._url), self._big:
                self._client.upload_file(
                    str(path),
                    self._bucket,
                    self._prefix + name,
                    ExtraArgs={"Metadata": metadata, **self._checksum},
                    Config=self._transfer,
                )
        if self._keeps_metadata is None:
            self._keeps_metadata = _hash_in(self._head(name)) is not None
        if not self._keeps_metadata:
            self._sums.note(name, sha256, size_bytes)

    def get(self, name: str, path: Path) -> str | None:
        """Download an object, in parallel parts if it is big; return its SHA-256 where it came in them."""
        size_bytes = self._sizes.get(name, MOST_BYTES + 1)
        answer = self._direct.get(self._prefix + name) if size_bytes <= MOST_BYTES else None
        if answer is not None and len(answer.content) == size_bytes:  # else it was replaced since
            path.write_bytes(answer.content)
            self._came[name, path] = answer.head
            return None
        with told(self._url), self._big:
            if self.at_once > 1 and name in self._sizes and size_bytes > MOST_BYTES and self._direct.is_usable:
                try:
                    came = get_parts(path, size_bytes, PART_BYTES, PARTS_AT_ONCE, partial(self._get_part, name))
                except BaseException:
                    path.unlink(missing_ok=True)  # nothing goes on from it, and a full disk would stay full
                    raise
                if came is not None:
                    self._came[name, path] = came.head
                    return came.sha256
            elif self._download(name, path):
                return None
            whole = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            with path.open("wb") as file:
                shutil.copyfileobj(whole["Body"], file)
        return None

    def remove(self, name: str) -> None:
        """Delete an object."""
        with told(self._url):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def settle(self) -> None:
        """Write the sums of the files for which the store keeps none."""
        self._sums.settle()

    def _get_part(self, name: str, part: Part, write: Write) -> Mapping[str, Any] | None:
        """Bring a part of an object; ``None`` where the store gives another one, or all of it."""
        from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

        key = self._prefix + name
        if (head := self._direct.get_part(key, part, write)) is not None:
            return head
        for _ in range(PART_TRIES - 1):
            with suppress(IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                return self._part_by_boto3(key, part, write)
        return self._part_by_boto3(key, part, write)

    def _part_by_boto3(self, key: str, part: Part, write: Write) -> Mapping[str, Any] | None:
        """Bring a part of an object by boto3, which begins no answer anew that breaks off."""
        from botocore.exceptions import ClientError, IncompleteReadError

        try:
            answer: Mapping[str, Any] = self._client.get_object(Bucket=self._bucket, Key=key, Range=part.asked)
        except ClientError as err:
            if err.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == NO_SUCH_RANGE:
                return None
            raise
        with closing(answer["Body"]) as body:
            if answer.get("ContentRange") != part.answered:
                return None
            at = part.begin
            for piece in body.iter_chunks(PIECE_BYTES):
                write(memoryview(piece)[: max(part.end - at, 0)], at)
                at += len(piece)
        if at != part.end:
            raise IncompleteReadError(actual_bytes=at - part.begin, expected_bytes=part.end - part.begin)
        return {"ETag": "", **answer, "ContentLength": part.size_bytes}

    def _download(self, name: str, path: Path) -> bool:
        """Download an object by boto3's own transfers; returns whether the store gave what was asked for.

        A store that ignores ``Range`` gives the whole object for each part, which boto3 writes to the part's place: the
        file becomes longer than the object.
        """
        try:
            self._client.download_file(self._bucket, self._prefix + name, str(path), Config=self._transfer)
        except Exception as err:
            if type(err).__name__ not in NOT_AS_ASKED:
                raise
            return False  # replaced between two parts, or the store makes up an ETag or a range for each answer
        size_bytes = path.stat().st_size
        return size_bytes == self._sizes.get(name, size_bytes)

    def _head(self, name: str) -> Mapping[str, Any]:
        with told(self._url):
            head: Mapping[str, Any] = self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
        return head


def connect(endpoint_url: str | None, keys: Mapping[str, str], ca_file: Path | None) -> tuple[Any, Any, Any]:
    """Return boto3's client for an endpoint, what it signs with, and the certificates by which it judges a server.

    An endpoint of ``None`` is where boto3's own settings lead, else Amazon's.
    """
    import boto3
    import botocore.session
    from botocore.config import Config
    from botocore.httpsession import get_cert_path

    config = Config(
        retries={"max_attempts": RETRIES, "mode": "standard"},
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=4 * PARTS_AT_ONCE,
    )
    options: dict[str, Any] = {"endpoint_url": endpoint_url}
    if ca_file is not None:
        _check_certificates(ca_file)
        options["verify"] = str(ca_file)
    # A session of its own: the default one keeps what keys it has found first.
    core = botocore.session.get_session()
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    session = boto3.Session(botocore_session=core, **_credentials(keys))
    client = None
    if endpoint_url is None or _is_amazons(endpoint_url):
        client = session.client("s3", config=config, **options)
    if client is None or not _is_amazons(client.meta.endpoint_url):
        client = session.client("s3", config=config.merge(Config(**PLAIN)), **options)
    return client, session.get_credentials(), get_cert_path(options.get("verify") or _trusted(core))


def _moment(value: Any) -> datetime:
    """Read a moment; botocore's own reader takes forty times as long for those of a listing."""
    from botocore.utils import parse_timestamp

    with suppress(TypeError, ValueError):
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None:
            return found
    moment: datetime = parse_timestamp(value)
    return moment


def _trusted(session: Any) -> Any:
    """Return the file of certificates that boto3 takes where none is given; ``True`` for its own."""
    return session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or True


def _is_amazons(address: str) -> bool:
    """Return whether an endpoint is Amazon's own."""
    host = urlparse(address).hostname or ""
    return any(host == domain or host.endswith(f".{domain}") for domain in AMAZON)


def _check_certificates(path: Path) -> None:
    """Refuse a file without certificates; boto3 would fail in its own words, and with the first request only.

    Raises:
        StoreError: If it cannot be read, or holds none.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as err:
        raise StoreError(
            f"sync: store.ca_file is {path}, which holds no certificates: {err.strerror or err}",
            resolution="set store.ca_file to a file that begins with -----BEGIN CERTIFICATE-----",
        ) from err


def _credentials(keys: Mapping[str, str]) -> dict[str, Any]:
    """Return a session's options for credentials that are given, not looked for."""
    names = {
        "aws_access_key_id": "AWS_ACCESS_KEY_ID",
        "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
        "aws_session_token": "AWS_SESSION_TOKEN",
        "region_name": "AWS_DEFAULT_REGION",
    }
    return {option: keys[name] for option, name in names.items() if name in keys}


def _hash_in(head: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 in an object's metadata; some stores change the case of its name."""
    return next((str(value) for name, value in head.get("Metadata", {}).items() if name.lower() == HASH_KEY), None)
