"""Objects of a bucket in requests that are signed and sent without the layers of boto3.

boto3 takes two milliseconds of a CPU to make a request, five times as long as to sign and send it, and twice as long
to read a big object. Whatever is not answered with success is left to boto3, which knows how to go on: tries again,
follows the bucket to its region, or says what was refused.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

from trainer.checkpoints.connection import Connection
from trainer.checkpoints.parts import Part, Write
from trainer.checkpoints.signatures import Credentials, sign
from trainer.checkpoints.turns import waiting

T = TypeVar("T")
MOST_BYTES = 1 << 20
"""An object up to this size is held in memory as a whole."""
PIECE_BYTES = 1 << 18
"""So much of a bigger one."""
LISTING = "before-send.s3.ListObjectsV2"
SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,]+/\d{8}/([^/,]+)/s3/aws4_request,.*")
METADATA = "x-amz-meta-"
WHOLE, PART = 200, 206
"""Success: some stores give a part with the status of the whole, and only ``Content-Range`` says what has come."""
Read = Callable[[Connection, Mapping[str, str]], T | None]
"""Reads the body of an answer with these headers; ``None`` where it is not what was asked for."""


class Answer(NamedTuple):
    """What a store has answered to a request for an object.

    Attributes:
        content: The object, where it was asked for.
        head: What there is to know of it, by boto3's names.
    """

    content: bytes
    head: Mapping[str, Any]


class Address(NamedTuple):
    """Where a bucket is.

    Attributes:
        is_https: Whether it is spoken to over TLS.
        host: With its port, if that is not the usual one.
        path: What comes before ``/`` and an object's key.
        region: What requests are signed for.
    """

    is_https: bool
    host: str
    path: str
    region: str


class Direct:
    """Puts and gets objects; any thread may. It begins with boto3's first listing, which shows where to."""

    def __init__(self, client: Any, credentials: Any, verify: str | None, *, with_checksum: bool) -> None:
        """Listen to what a client asks.

        Args:
            client: boto3's.
            credentials: What it signs with.
            verify: File of certificates by which it judges a server.
            with_checksum: Whether to say the SHA-256 of a body in a header as well, for Amazon to keep.
        """
        self._credentials, self._verify, self._with_checksum = credentials, verify, with_checksum
        self._address: Address | None = None
        self._tls: ssl.SSLContext | None = None
        self._idle: deque[tuple[Address, Connection]] = deque()
        weakref.finalize(self, _close, self._idle)
        client.meta.events.register(LISTING, self._learn)

    @property
    def is_usable(self) -> bool:
        """Whether it knows where to, and has understood what came from there."""
        return self._address is not None

    def put(self, key: str, content: bytes, sha256: str, metadata: Mapping[str, str]) -> bool:
        """Write a small object; returns whether that was done."""
        headers = {f"{METADATA}{name}": value for name, value in metadata.items()}
        if self._with_checksum:
            headers["x-amz-sdk-checksum-algorithm"] = "SHA256"
            headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
        return self._ask("PUT", key, content, headers, _whole) is not None

    def get(self, key: str) -> Answer | None:
        """Read a small object; ``None`` where that was not done."""
        return self._ask("GET", key, b"", {}, _whole)

    def get_part(self, key: str, part: Part, write: Write) -> Mapping[str, Any] | None:
        """Read a part of an object, piece by piece.

        Args:
            key: Of the object.
            part: Which one.
            write: Takes each piece.

        Returns:
            What there is to know of the object, by boto3's names; ``None`` where the part was not read.

        Raises:
            UnwrittenError: If that failed.
        """

        def read(connection: Connection, headers: Mapping[str, str]) -> Mapping[str, Any] | None:
            if (headers.get("content-range"), int(headers["content-length"])) != (part.answered, part.end - part.begin):
                return None
            buffer = memoryview(bytearray(PIECE_BYTES))
            for at in range(part.begin, part.end, PIECE_BYTES):
                piece = buffer[: min(PIECE_BYTES, part.end - at)]
                connection.fill(piece)
                write(piece, at)
            return _head(headers, part.size_bytes)

        return self._ask("GET", key, b"", {"range": part.asked}, read)

    def _learn(self, request: Any, **_: Any) -> None:
        """Take the address from a listing that is about to be sent; after a redirect it is sent once more."""
        from botocore.utils import get_environ_proxies

        words = request.headers.get("Authorization", "")
        match = SIGNED.fullmatch(words.decode() if isinstance(words, bytes) else words)
        parts = urlsplit(request.url)
        self._address = None
        if match is None or get_environ_proxies(request.url):
            return
        with suppress(OSError):  # a file without certificates: boto3 says so
            self._tls = self._tls or ssl.create_default_context(cafile=self._verify)
            self._address = Address(parts.scheme == "https", parts.netloc, parts.path.rstrip("/"), match[1])

    def _ask(self, method: str, key: str, content: bytes, headers: Mapping[str, str], read: Read[T]) -> T | None:
        """Make one request; returns what was read of the answer, ``None`` without success."""
        address = self._address
        if address is None:
            return None
        path, digest = f"{address.path}/{quote(key, safe='/~')}", hashlib.sha256(content).hexdigest()
        credentials = self._frozen()
        if credentials is None:
            return None
        named = {"host": address.host, **headers}
        sent = sign(method, path, named, digest, credentials, address.region, time.time())
        for connect in (self._resting, self._new):
            came, found = dict[str, str](), None
            try:
                connection = connect(address)
            except (OSError, ValueError):
                return None
            if connection is None:
                continue
            try:
                status, came = connection.ask(method, path, sent, content)
                found = read(connection, came) if status == WHOLE or (status == PART and "range" in headers) else None
            except OSError:  # a connection that has rested may have been given up since
                continue
            except ValueError:
                if connect == self._resting:  # some say so in words of their own
                    continue
                self._address = None
            finally:
                if found is not None and connection.is_open(came):
                    self._idle.append((address, connection))
                else:
                    connection.close()
            return found
        return None

    def _frozen(self) -> Credentials | None:
        """Return what to sign with; ``None`` where it was to be renewed and was not, which boto3 is to report."""
        from botocore.exceptions import BotoCoreError

        is_due = getattr(self._credentials, "refresh_needed", lambda: False)
        try:
            with waiting() if is_due() else nullcontext():
                return Credentials(*self._credentials.get_frozen_credentials()[:3])
        except BotoCoreError:
            return None

    def _resting(self, address: Address) -> Connection | None:
        """Return a connection that was used before, if there is one."""
        with suppress(IndexError):
            while True:
                at, connection = self._idle.pop()
                if at == address:
                    return connection
                connection.close()
        return None

    def _new(self, address: Address) -> Connection:
        """Connect.

        Raises:
            OSError: If that fails.
        """
        return Connection(address.host, self._tls if address.is_https else None)


def _whole(connection: Connection, headers: Mapping[str, str]) -> Answer | None:
    size_bytes = int(headers["content-length"])
    if size_bytes > MOST_BYTES:
        return None
    content = bytearray(size_bytes)
    connection.fill(memoryview(content))
    return Answer(bytes(content), _head(headers, size_bytes))


def _head(headers: Mapping[str, str], size_bytes: int) -> Mapping[str, Any]:
    metadata = {name.removeprefix(METADATA): value for name, value in headers.items() if name.startswith(METADATA)}
    return {"ContentLength": size_bytes, "Metadata": metadata, "ETag": headers.get("etag", "")}


def _close(connections: deque[tuple[Address, Connection]]) -> None:
    for _, connection in connections:
        connection.close()
