"""The manners of S3, each in front of an app that keeps the objects.

- ``amazon``: as Amazon's, and moto's own: bodies in chunks, checksums behind them, metadata, ETags that are an MD5.
- ``strict``: knows only what every S3 knows, and refuses each request whose signature or body hash it does not find
  itself: a client that signs other words than it sends is found out.
- ``gateway``: in front of another kind of store: takes no body in chunks and no checksum, keeps no metadata, gives
  ETags that say nothing of the content, and sends every few requests away (503 SlowDown).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import Any
from urllib.parse import quote, unquote

from runner.emulation.s3.requests import RefusalError, headers_of, query_of, read_body
from runner.emulation.service import Environ, StartResponse, Wsgi

MANNERS = ("amazon", "strict", "gateway")
BUSY_EVERY = 7
"""The gateway sends each seventh request away."""
CHUNKED = re.compile(r"STREAMING-|aws-chunked")
ETAG = re.compile(rb"(<ETag>(?:&quot;|\")?)([0-9a-f]{32}(?:-\d+)?)((?:&quot;|\")?</ETag>)")
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, *SignedHeaders=([^,]+), *Signature=\w+"
)

Secrets = Callable[[str], str | None]
"""Returns the secret of an access key; ``None`` for a key that there is not."""


def in_manner(manner: str, app: Wsgi, secrets: Secrets) -> Wsgi:
    """Return an app behind one of ``MANNERS``.

    Args:
        manner: One of ``MANNERS``.
        app: What keeps the objects.
        secrets: By which signatures are judged, where they are.
    """
    if manner == "strict":
        return Strict(app, secrets)
    return Gateway(app) if manner == "gateway" else app


class Strict:
    """Refuses what is not signed as S3's documents say, by a calculation of its own."""

    def __init__(self, app: Wsgi, secrets: Secrets) -> None:
        """Stand in front of an app, and judge by these secrets."""
        self._app, self._secrets = app, secrets

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        body, sent = read_body(environ), headers_of(environ)
        claimed = sent.get("x-amz-content-sha256", "")
        if CHUNKED.search(claimed + sent.get("content-encoding", "")):
            raise RefusalError("501 Not Implemented", "NotImplemented")
        if claimed != hashlib.sha256(body).hexdigest():
            raise RefusalError("400 Bad Request", "XAmzContentSHA256Mismatch")
        if not hmac.compare_digest(
            _signature(environ, sent, self._secrets), sent.get("authorization", "").rpartition("=")[2]
        ):
            raise RefusalError("403 Forbidden", "SignatureDoesNotMatch")
        return self._app(environ, start_response)


class Gateway:
    """Refuses bodies in chunks, drops metadata, and has ETags of its own."""

    def __init__(self, app: Wsgi) -> None:
        """Stand in front of an app."""
        self._app = app
        self._count, self._lock = 0, threading.Lock()
        self._inner: dict[str, str] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        with self._lock:
            self._count += 1
            is_busy = self._count % BUSY_EVERY == 0
        if is_busy:
            raise RefusalError("503 Slow Down", "SlowDown")
        sent = headers_of(environ)
        has_checksum = any(name.startswith(("x-amz-checksum-", "x-amz-sdk-checksum", "x-amz-trailer")) for name in sent)
        if has_checksum or CHUNKED.search(sent.get("x-amz-content-sha256", "") + sent.get("content-encoding", "")):
            raise RefusalError("501 Not Implemented", "NotImplemented")
        for name in [name for name in environ if name.startswith("HTTP_X_AMZ_META_")]:
            del environ[name]
        self._translate(environ)
        return self._opaque(environ, start_response)

    def _translate(self, environ: Environ) -> None:
        """Give moto its own ETags back, in conditions and in the list of parts."""
        if "HTTP_IF_MATCH" in environ:
            environ["HTTP_IF_MATCH"] = self._back(environ["HTTP_IF_MATCH"])
        if environ["REQUEST_METHOD"] == "POST" and "uploadId" in environ["QUERY_STRING"]:
            body = self._back(read_body(environ).decode()).encode()
            environ |= {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}

    def _back(self, text: str) -> str:
        for ours, inner in list(self._inner.items()):
            text = text.replace(ours, inner)
        return text

    def _opaque(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        started: list[Any] = []
        body = b"".join(self._app(environ, lambda *words: started.extend(words)))
        status, headers = started[:2]
        if environ["REQUEST_METHOD"] != "HEAD" and b"<ETag>" in body:
            body = ETAG.sub(lambda match: match[1] + self._ours(match[2].decode()).encode() + match[3], body)
            headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
            headers.append(("Content-Length", str(len(body))))
        etags = {name: f'"{self._ours(value.strip(chr(34)))}"' for name, value in headers if name.lower() == "etag"}
        start_response(status, [(name, etags.get(name, value)) for name, value in headers])
        return [body]

    def _ours(self, inner: str) -> str:
        """Return an ETag that says nothing: its own of each of moto's, and as long."""
        ours = hashlib.sha256(inner.encode()).hexdigest()[:32]
        self._inner[ours] = inner
        return ours


def _signature(environ: Environ, sent: Mapping[str, str], secrets: Secrets) -> str:
    """Return the signature that a request has to have, by version 4 of the process."""
    match = AUTHORIZATION.fullmatch(sent.get("authorization", ""))
    secret = None if match is None else secrets(match[1])
    if match is None or secret is None:
        raise RefusalError("403 Forbidden", "InvalidAccessKeyId")
    day, region, signed = match[2], match[3], match[4].split(";")
    if any(name.startswith("x-amz-") and name not in signed for name in sent):
        raise RefusalError("403 Forbidden", "AccessDenied")  # what is not signed may have been put in on the way
    query = sorted((quote(key, safe="~"), quote(value, safe="~")) for key, value in query_of(environ))
    canonical = "\n".join(
        [
            environ["REQUEST_METHOD"],
            quote(unquote(environ["RAW_URI"].partition("?")[0]), safe="/~"),
            "&".join(f"{key}={value}" for key, value in query),
            *(f"{name}:{' '.join(sent[name].split())}" for name in signed),
            "",
            ";".join(signed),
            sent["x-amz-content-sha256"],
        ]
    )
    scope = f"{day}/{region}/s3/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for word in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{sent['x-amz-date']}\n{scope}\n{hashed}"
    return hmac.new(key, text.encode(), "sha256").hexdigest()
