"""Where a store keeps its files: a bucket that speaks S3, or a folder. Both by the same few words."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlparse

from trainer.errors import StoreError
from trainer.files import sha256_of_file, write_atomically

PART_BYTES = 16 << 20
PARTS_AT_ONCE = 8
RETRIES = 8
CONNECT_TIMEOUT_S = 20
READ_TIMEOUT_S = 120
HASH_KEY = "sha256"
"""Metadata of an object that holds the SHA-256 of its content; ETags of big objects say nothing of it."""
MISSING = {"404", "NoSuchKey", "NotFound"}
OTHERWISE = (
    "fix the cause that the details quote (store.url, store.endpoint_url, credentials), then run `make sync` again"
)
HINTS = {
    "NoSuchBucket": "create the bucket first (infra/store), or correct store.url",
    "AccessDenied": "give these credentials the right to list, read and write under this address",
    "403": "give these credentials the right to list, read and write under this address",
    "ExpiredToken": "renew the credentials, then run `make sync` again: what is there already is not moved twice",
    "RequestExpired": "renew the credentials, then run `make sync` again: what is there already is not moved twice",
    "InvalidAccessKeyId": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to valid credentials",
    "SignatureDoesNotMatch": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to valid credentials",
}


class Place(Protocol):
    """What a store can do; names are relative, with ``/`` between their parts."""

    def sizes(self) -> dict[str, int]:
        """Return all files with their sizes."""

    def matches(self, name: str, path: Path) -> bool | None:
        """Return whether a file there has the content of one here; ``None`` where the store does not say."""

    def read(self, name: str) -> bytes:
        """Return the content of a small file."""

    def write(self, content: bytes, name: str) -> None:
        """Write a small file, whole or not at all."""

    def put(self, path: Path, name: str, sha256: str) -> None:
        """Bring a file there; it appears whole or not at all."""

    def get(self, name: str, path: Path) -> None:
        """Fetch a file.

        Raises:
            FileNotFoundError: If it is not there.
        """

    def remove(self, name: str) -> None:
        """Remove a file; nothing there is fine."""


def open_place(url: str, endpoint_url: str | None, keys: Mapping[str, str] | None = None) -> Place:
    """Return the place an address names.

    Args:
        url: ``s3://bucket/prefix`` or ``file:///path``.
        endpoint_url: Address of a store that speaks S3; ``None`` is Amazon's.
        keys: Credentials by the names of their variables (``AWS_ACCESS_KEY_ID`` …); ``None`` looks where boto3 does.

    Raises:
        StoreError: If it is neither ``s3://bucket/prefix`` nor ``file:///path``.
    """
    parts = urlparse(url)
    if parts.scheme == "s3" and parts.netloc and not parts.query and not parts.fragment:
        return Bucket(parts.netloc, parts.path.strip("/"), endpoint_url, keys)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        return Folder(Path(unquote(parts.path)))
    raise StoreError(
        f"sync: {url} is no address of a store", resolution="write s3://bucket/prefix or file:///path/of/a/folder"
    )


class Folder:
    """A folder of this machine, or of one that is mounted here."""

    def __init__(self, root: Path) -> None:
        """Name it; it is made with the first file."""
        self._root = root

    def sizes(self) -> dict[str, int]:
        """Return all files with their sizes."""
        return {
            path.relative_to(self._root).as_posix(): path.stat().st_size
            for path in self._root.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }

    def matches(self, name: str, path: Path) -> bool | None:
        """Compare the contents by their SHA-256."""
        there = self._root / name
        return there.is_file() and sha256_of_file(there) == sha256_of_file(path)

    def read(self, name: str) -> bytes:
        """Return the content of a small file."""
        return (self._root / name).read_bytes()

    def write(self, content: bytes, name: str) -> None:
        """Write a small file, whole or not at all."""
        target = self._root / name
        with _disk(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, content)

    def put(self, path: Path, name: str, sha256: str) -> None:
        """Copy a file there, whole or not at all."""
        target = self._root / name
        part = target.with_name(f".{target.name}.part")
        with _disk(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, part)
            part.replace(target)

    def get(self, name: str, path: Path) -> None:
        """Copy a file from there."""
        shutil.copyfile(self._root / name, path)

    def remove(self, name: str) -> None:
        """Remove a file, and its folder if nothing else is in it."""
        target = self._root / name
        with _disk(target):
            target.unlink(missing_ok=True)
        with suppress(OSError):
            target.parent.rmdir()


@contextmanager
def _disk(target: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as err:
        raise StoreError(
            f"sync: cannot write {target}: {err.strerror}", resolution="make room, or check who owns it"
        ) from err


class Bucket:
    """A prefix of a bucket that speaks S3."""

    def __init__(self, bucket: str, prefix: str, endpoint_url: str | None, keys: Mapping[str, str] | None) -> None:
        """Connect with the first use; without keys, credentials are looked for where boto3 does."""
        try:
            import boto3
            from boto3.s3.transfer import TransferConfig
            from botocore.config import Config
        except ImportError as err:
            raise StoreError(
                f"sync: boto3 is not installed here, and s3://{bucket} needs it",
                resolution="install boto3 beside the trainer; `make sync` does so on the control side",
            ) from err

        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._url = f"s3://{bucket}/{prefix}"
        config = Config(
            retries={"max_attempts": RETRIES, "mode": "standard"},
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            max_pool_connections=4 * PARTS_AT_ONCE,
        )
        with self._told():
            session = boto3.Session()  # one of its own: the default one keeps what keys it has found first
            self._client = session.client("s3", endpoint_url=endpoint_url, config=config, **_options(keys or {}))
        self._transfer = TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=PARTS_AT_ONCE
        )

    def sizes(self) -> dict[str, int]:
        """Return all objects under the prefix with their sizes."""
        found: dict[str, int] = {}
        with self._told():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            for page in pages:
                for entry in page.get("Contents", []):
                    if not entry["Key"].endswith("/"):
                        found[entry["Key"].removeprefix(self._prefix)] = int(entry["Size"])
        return found

    def matches(self, name: str, path: Path) -> bool | None:
        """Compare by the SHA-256 that came with the object, else by the MD5 in the ETag of one that came whole."""
        try:
            with self._told():
                head = self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
        except FileNotFoundError:
            return False
        if head["ContentLength"] != path.stat().st_size:
            return False
        sha256 = head["Metadata"].get(HASH_KEY)
        if sha256 is not None:
            return bool(sha256 == sha256_of_file(path))
        etag = head["ETag"].strip('"')
        if "-" in etag or head.get("ServerSideEncryption") == "aws:kms":
            return None
        with path.open("rb") as file:
            return bool(etag == hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest())

    def read(self, name: str) -> bytes:
        """Return the content of a small object."""
        with self._told():
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            content: bytes = answer["Body"].read()
        return content

    def write(self, content: bytes, name: str) -> None:
        """Write a small object."""
        metadata = {HASH_KEY: hashlib.sha256(content).hexdigest()}
        with self._told():
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content, Metadata=metadata)

    def put(self, path: Path, name: str, sha256: str) -> None:
        """Upload a file, in parallel parts if it is big."""
        path.stat()  # a missing file is reported as missing, not as a failed upload
        with self._told():
            self._client.upload_file(
                str(path),
                self._bucket,
                self._prefix + name,
                ExtraArgs={"Metadata": {HASH_KEY: sha256}},
                Config=self._transfer,
            )

    def get(self, name: str, path: Path) -> None:
        """Download an object, in parallel parts if it is big."""
        with self._told():
            self._client.download_file(self._bucket, self._prefix + name, str(path), Config=self._transfer)

    def remove(self, name: str) -> None:
        """Delete an object."""
        with self._told():
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what boto3 raises into our own errors, once."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as err:
            if _code(err) in MISSING:
                raise FileNotFoundError(str(err)) from err
            raise self._refused(_code(err), err) from err
        except Boto3Error as err:
            cause = err.__context__
            raise self._refused(_code(cause) if isinstance(cause, ClientError) else "", err) from err
        except BotoCoreError as err:
            raise StoreError(
                f"sync: cannot reach {self._url}: {type(err).__name__}",
                details=str(err),
                resolution="check the network, the endpoint and the credentials; what is there is not moved twice",
            ) from err

    def _refused(self, code: str, err: Exception) -> StoreError:
        return StoreError(
            f"sync: {self._url} refuses: {code or type(err).__name__}",
            details=str(err),
            resolution=HINTS.get(code, OTHERWISE),
        )


def _options(keys: Mapping[str, str]) -> dict[str, Any]:
    """Return a client's options for credentials that are given, not looked for."""
    names = {
        "aws_access_key_id": "AWS_ACCESS_KEY_ID",
        "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
        "aws_session_token": "AWS_SESSION_TOKEN",
        "region_name": "AWS_DEFAULT_REGION",
    }
    return {option: keys[name] for option, name in names.items() if name in keys}


def _code(err: Any) -> str:
    return str(err.response.get("Error", {}).get("Code", ""))
