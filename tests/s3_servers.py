"""Stores that speak S3 over TLS on loopback, in three manners; moto keeps their objects.

- ``amazon``: as Amazon's, with bodies in chunks, checksums behind them, metadata and ETags that are an MD5.
- ``strict``: knows only what every S3 knows, and refuses each request whose signature or body hash it does not find
  itself: a client that signs other words than it sends is found out.
- ``gateway``: in front of another kind of store: takes no body in chunks and no checksum, keeps no metadata, gives
  ETags that say nothing of the content, and sends every few requests away (503 SlowDown).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ACCESS_KEY_ID = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
BUCKET = "a-bucket"
MANNERS = ("amazon", "strict", "gateway")
BUSY_EVERY = 7
"""The gateway sends each seventh request away."""
CHUNKED = re.compile(r"STREAMING-|aws-chunked")
ETAG = re.compile(rb"(<ETag>(?:&quot;|\")?)([0-9a-f]{32}(?:-\d+)?)((?:&quot;|\")?</ETag>)")

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass
class RefusalError(Exception):
    """What a store answers in place of doing it."""

    status: str
    code: str


@dataclass
class S3Server:
    """A running store.

    Attributes:
        manner: One of ``MANNERS``.
        url: Its address.
        ca_file: Certificate of the authority that signed its own; no other authority has.
        requests: Method and path of each request that came, and whether the store sent it away.
    """

    manner: str
    url: str
    ca_file: Path
    requests: list[tuple[str, str, bool]] = field(default_factory=list)


@contextmanager
def serve_s3(manner: str, folder: Path) -> Iterator[S3Server]:
    """Serve one manner of S3 over TLS until the block ends.

    Args:
        manner: One of ``MANNERS``.
        folder: Where to put its certificates.
    """
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Handler(MotoRequestHandler):
        """Keeps connections open, and says nothing on the terminal."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body go out one by one: the second would wait for a delayed ACK

        def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
            """Say nothing."""

    ca_file, server_file = make_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    answer: App = DomainDispatcherApplication(create_backend_app)
    around = {"amazon": lambda app: app, "strict": Strict, "gateway": Gateway}[manner]
    running = S3Server(manner, "", ca_file)
    app = Watched(around(answer), running)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler, ssl_context=context)
    running.url = f"https://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificates(folder: Path) -> tuple[Path, Path]:
    """Return a file with an authority's certificate, and one with a server's key and the certificate signed by it."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"the authority of {folder.name}")])
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a store")])
    ca = _certificate(ca_name, ca_name, ca_key.public_key())
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = x509.KeyUsage(True, False, False, False, False, True, False, False, False)
    ca_certificate = ca.add_extension(usage, critical=True).sign(ca_key, hashes.SHA256())
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    own = _certificate(name, ca_name, key.public_key()).add_extension(address, critical=False)
    own_certificate = own.sign(ca_key, hashes.SHA256())
    ca_file, server_file = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(ca_certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server_file.write_bytes(own_certificate.public_bytes(serialization.Encoding.PEM) + private)
    return ca_file, server_file


def _certificate(name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))


class Watched:
    """Notes each request, and answers refusals as S3 does."""

    def __init__(self, app: App, running: S3Server) -> None:
        """Stand around an app."""
        self._app, self._running = app, running

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        request = environ["REQUEST_METHOD"], unquote(environ["PATH_INFO"])
        try:
            answer = self._app(environ, start_response)
        except RefusalError as err:
            self._running.requests.append((*request, True))
            _read_body(environ)  # what is left of it would be read as the next request
            body = f"<Error><Code>{err.code}</Code><Message>{err.code}</Message></Error>".encode()
            start_response(err.status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [] if request[0] == "HEAD" else [body]
        self._running.requests.append((*request, False))
        return answer


class Strict:
    """Refuses what is not signed as S3's documents say, by a calculation of its own."""

    def __init__(self, app: App) -> None:
        """Stand in front of an app."""
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        body, sent = _read_body(environ), _headers(environ)
        claimed = sent.get("x-amz-content-sha256", "")
        if CHUNKED.search(claimed + sent.get("content-encoding", "")):
            raise RefusalError("501 Not Implemented", "NotImplemented")
        if claimed != hashlib.sha256(body).hexdigest():
            raise RefusalError("400 Bad Request", "XAmzContentSHA256Mismatch")
        if not hmac.compare_digest(_signature(environ, sent), sent.get("authorization", "").rpartition("=")[2]):
            raise RefusalError("403 Forbidden", "SignatureDoesNotMatch")
        return self._app(environ, start_response)


class Gateway:
    """Refuses bodies in chunks, drops metadata, and has ETags of its own."""

    def __init__(self, app: App) -> None:
        """Stand in front of an app."""
        self._app = app
        self._count, self._lock = 0, threading.Lock()
        self._inner: dict[str, str] = {}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        with self._lock:
            self._count += 1
            is_busy = self._count % BUSY_EVERY == 0
        if is_busy:
            raise RefusalError("503 Slow Down", "SlowDown")
        sent = _headers(environ)
        has_checksum = any(name.startswith(("x-amz-checksum-", "x-amz-sdk-checksum", "x-amz-trailer")) for name in sent)
        if has_checksum or CHUNKED.search(sent.get("x-amz-content-sha256", "") + sent.get("content-encoding", "")):
            raise RefusalError("501 Not Implemented", "NotImplemented")
        for name in [name for name in environ if name.startswith("HTTP_X_AMZ_META_")]:
            del environ[name]
        self._translate(environ)
        return self._opaque(environ, start_response)

    def _translate(self, environ: dict[str, Any]) -> None:
        """Give moto its own ETags back, in conditions and in the list of parts."""
        if "HTTP_IF_MATCH" in environ:
            environ["HTTP_IF_MATCH"] = self._back(environ["HTTP_IF_MATCH"])
        if environ["REQUEST_METHOD"] == "POST" and "uploadId" in environ["QUERY_STRING"]:
            body = self._back(_read_body(environ).decode()).encode()
            environ |= {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}

    def _back(self, text: str) -> str:
        for ours, inner in list(self._inner.items()):
            text = text.replace(ours, inner)
        return text

    def _opaque(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
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


def _read_body(environ: dict[str, Any]) -> bytes:
    """Return a request's body, and leave it there to be read again."""
    length = environ.get("CONTENT_LENGTH")
    body: bytes = environ["wsgi.input"].read(int(length)) if length else b""
    if environ.get("wsgi.input_terminated") and not length:
        body = environ["wsgi.input"].read()
    environ["wsgi.input"] = BytesIO(body)
    return body


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    headers = {name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name[:5] == "HTTP_"}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH", "CONTENT_MD5"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    return headers


def _signature(environ: dict[str, Any], sent: dict[str, str]) -> str:
    """Return the signature that a request has to have, by version 4 of the process and the one key there is."""
    match = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, *SignedHeaders=([^,]+), *Signature=\w+",
        sent.get("authorization", ""),
    )
    if match is None or match[1] != ACCESS_KEY_ID:
        raise RefusalError("403 Forbidden", "InvalidAccessKeyId")
    day, region, signed = match[2], match[3], match[4].split(";")
    if any(name.startswith("x-amz-") and name not in signed for name in sent):
        raise RefusalError("403 Forbidden", "AccessDenied")  # what is not signed may have been put in on the way
    query = sorted((quote(key, safe="~"), quote(value, safe="~")) for key, value in _query(environ))
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
    key = f"AWS4{SECRET_KEY}".encode()
    for word in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{sent['x-amz-date']}\n{scope}\n{hashed}"
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _query(environ: dict[str, Any]) -> list[tuple[str, str]]:
    return parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)
