"""Where a store keeps its files: a bucket that speaks S3, a folder, a remote of rclone's. All by the same few words."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlparse

from trainer.checkpoints.bucket import Bucket
from trainer.checkpoints.rclone import Remote, split_address
from trainer.checkpoints.transfer import AT_ONCE
from trainer.errors import StoreError
from trainer.files import sha256_of_file, write_atomically


class Place(Protocol):
    """What a store can do; names are relative, with ``/`` between their parts.

    Attributes:
        at_once: How many files are to be moved at the same time.
    """

    at_once: int

    def takes_turns(self, size_bytes: int) -> bool:
        """Return whether threads that move files of this size take turns (``turns``)."""

    def sizes(self) -> dict[str, int]:
        """Return all files with their sizes; the first thing to ask for.

        One that is there several times, with different contents, has the size ``UNSURE``.
        """

    def matches(self, name: str, path: Path, sha256: str | None = None) -> bool | None:
        """Return whether a file there has the content of one here; ``None`` where the store does not say.

        Args:
            name: The file there.
            path: The file here.
            sha256: What the file here has, or ought to have, if that is known; it is read otherwise.
        """

    def read(self, name: str) -> bytes:
        """Return the content of a small file."""

    def write(self, content: bytes, name: str) -> None:
        """Write a small file, whole or not at all."""

    def put(self, path: Path, name: str, sha256: str) -> None:
        """Bring a file there; it appears whole or not at all."""

    def get(self, name: str, path: Path) -> str | None:
        """Fetch a file; return its SHA-256 as it is here, if that was worked out on the way.

        Raises:
            FileNotFoundError: If it is not there.
        """

    def remove(self, name: str) -> None:
        """Remove a file; nothing there is fine."""

    def settle(self) -> None:
        """Note what the files are that were brought there, if the store does not; to be called after them."""


Opener = Callable[..., Place]
"""Opens a place, as ``open_place`` does and by its arguments."""


def open_place(
    url: str,
    endpoint_url: str | None,
    keys: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
    rclone: str | None = None,
    at_once: int | None = None,
) -> Place:
    """Return the place an address names.

    Args:
        url: ``s3://bucket/prefix``, ``file:///path`` or ``rclone://remote/path``.
        endpoint_url: Address of a store that speaks S3; ``None`` is Amazon's.
        keys: Credentials by the names of their variables (``AWS_ACCESS_KEY_ID`` …), or the variable that leads rclone
            to its configuration; ``None`` looks where boto3 and rclone do.
        ca_file: Certificates, in PEM, of those who vouch for the endpoint; ``None`` trusts whom the system trusts.
        rclone: rclone's program; ``None`` looks on PATH.
        at_once: How many threads may speak to a bucket, or processes to a remote, at the same time; ``None`` for as
            many as serve.

    Raises:
        StoreError: If it is none of these, there are no such certificates, or rclone is needed and not here.
    """
    parts = urlparse(url)
    if parts.scheme == "s3" and parts.netloc and not parts.query and not parts.fragment:
        return Bucket(parts.netloc, parts.path.strip("/"), endpoint_url, keys, ca_file, at_once)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
        return Folder(Path(unquote(parts.path)))
    if (remote := split_address(url)) is not None:
        return Remote(*remote, rclone, keys, at_once)
    raise StoreError(
        f"sync: {url} is no address of a store",
        resolution="write s3://bucket/prefix, file:///path/of/a/folder or rclone://remote/path",
    )


class Folder:
    """A folder of this machine, or of one that is mounted here."""

    at_once = AT_ONCE

    def __init__(self, root: Path) -> None:
        """Name it; it is made with the first file."""
        self._root = root

    def takes_turns(self, size_bytes: int) -> bool:
        """Return ``False``: what waits here is the disk."""
        del size_bytes
        return False

    def sizes(self) -> dict[str, int]:
        """Return all files with their sizes."""
        return {
            path.relative_to(self._root).as_posix(): path.stat().st_size
            for path in self._root.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }

    def matches(self, name: str, path: Path, sha256: str | None = None) -> bool | None:
        """Compare the contents by their SHA-256."""
        there = self._root / name
        return there.is_file() and sha256_of_file(there) == (sha256 or sha256_of_file(path))

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
        """Copy a file there, whole or not at all; what the disk has then is compared.

        Raises:
            StoreError: If it cannot be written, or the disk has something else.
        """
        target = self._root / name
        part = target.with_name(f".{target.name}.part")
        with _disk(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, part)
            with part.open("rb") as file:
                os.fsync(file.fileno())  # before the manifest, which says that it is there
            if sha256_of_file(part) != sha256 == sha256_of_file(path):
                part.unlink()
                raise StoreError(
                    f"sync: {target} was written, and the disk has something else",
                    resolution="check the disk or the share that store.url leads to, then run `make sync` again",
                )
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

    def settle(self) -> None:
        """Do nothing: a folder's files are compared by their content."""


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
