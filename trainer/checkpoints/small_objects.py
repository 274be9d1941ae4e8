"""Small objects of a bucket in one request each, signed and sent without the layers of boto3.

boto3 takes two milliseconds of a CPU to make a request, five times as long as to sign and send it; with thousands of
small files that is what a transfer waits for. Whatever is not answered with success is left to boto3, which knows how
to go on: tries again, follows the bucket to its region, or says what was refused.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from trainer.checkpoints.signatures import Credentials, sign

MOST_BYTES = 1 << 20
"""An object up to this size is held in memory as a whole."""
TIMEOUT_S = 60
LISTING = "before-send.s3.ListObjectsV2"
SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,]+/\d{8}/([^/,]+)/s3/aws4_request,.*")
METADATA = "x-amz-meta-"


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


class SmallObjects:
    """Puts and gets small objects; any thread may. It begins with boto3's first listing, which shows where to."""

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
        self._idle: deque[tuple[Address, HTTPConnection]] = deque()
        weakref.finalize(self, _close, self._idle)
        client.meta.events.register(LISTING, self._learn)

    def put(self, key: str, content: bytes, sha256: str, metadata: Mapping[str, str]) -> bool:
        """Write an object; returns whether that was done."""
        headers = {f"{METADATA}{name}": value for name, value in metadata.items()}
        if self._with_checksum:
            headers["x-amz-sdk-checksum-algorithm"] = "SHA256"
            headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
        return self._ask("PUT", key, content, headers) is not None

    def get(self, key: str) -> Answer | None:
        """Read an object; ``None`` where that was not done."""
        answer = self._ask("GET", key, b"", {})
        if answer is None:
            return None
        content, headers = answer
        metadata = {name.removeprefix(METADATA): value for name, value in headers.items() if name.startswith(METADATA)}
        return Answer(content, {"ContentLength": len(content), "Metadata": metadata, "ETag": headers.get("etag", "")})

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

    def _ask(
        self, method: str, key: str, content: bytes, headers: Mapping[str, str]
    ) -> tuple[bytes, dict[str, str]] | None:
        """Make one request; returns body and headers of the answer, ``None`` without success."""
        address = self._address
        if address is None:
            return None
        path, digest = f"{address.path}/{quote(key, safe='/~')}", hashlib.sha256(content).hexdigest()
        credentials = Credentials(*self._credentials.get_frozen_credentials()[:3])
        named = {"host": address.host, **headers}
        sent = sign(method, path, named, digest, credentials, address.region, time.time())
        for connection in self._connections(address):
            try:
                connection.request(method, path, content or None, sent)
                answer = connection.getresponse()
                body, status = answer.read(), answer.status
            except (OSError, HTTPException):
                connection.close()
                continue
            self._idle.append((address, connection))
            return (body, {name.lower(): value for name, value in answer.getheaders()}) if status == 200 else None
        return None

    def _connections(self, address: Address) -> Iterator[HTTPConnection]:
        """Yield a connection that rests, which its other end may have given up since, and then a new one."""
        with suppress(IndexError):
            at, connection = self._idle.pop()
            if at == address:
                yield connection
            else:
                connection.close()
        if address.is_https:
            yield HTTPSConnection(address.host, timeout=TIMEOUT_S, context=self._tls)
        else:
            yield HTTPConnection(address.host, timeout=TIMEOUT_S)


def _close(connections: deque[tuple[Address, HTTPConnection]]) -> None:
    for _, connection in connections:
        connection.close()
