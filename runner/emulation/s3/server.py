"""A store that speaks S3 over TLS, as a server; moto keeps its objects."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from runner.emulation.s3.account import admit, key_id_of, secret_of
from runner.emulation.s3.certificates import LOOPBACK, make_certificates
from runner.emulation.s3.manners import in_manner
from runner.emulation.s3.requests import RefusalError, read_body
from runner.emulation.s3.slow_line import SlowLine
from runner.emulation.service import Environ, StartResponse, Wsgi


class Asked(NamedTuple):
    """A request that came.

    Attributes:
        method: HTTP method.
        path: Path from the root.
        refused: The code of the refusal; empty for a request that was done.
        who: Who asked, empty for somebody unknown.
        key_id: By which key.
    """

    method: str
    path: str
    refused: str
    who: str
    key_id: str


@dataclass
class S3Server:
    """A running store.

    Attributes:
        manner: One of ``manners.MANNERS``.
        url: Its address.
        ca_file: Certificate of the authority that signed its own; no other authority has.
        note: Hears of each request.
        requests: The requests that came.
        trouble: Called with each request before it is answered; it may refuse it, or cut it off.
    """

    manner: str
    url: str
    ca_file: Path
    note: Callable[[Asked], None] = field(default=lambda _: None, repr=False)
    requests: list[Asked] = field(default_factory=list)
    trouble: Callable[[Environ], None] = field(default=lambda _: None, repr=False)


@contextmanager
def serve_s3(
    manner: str,
    folder: Path,
    *,
    host: str = LOOPBACK,
    note: Callable[[Asked], None] = lambda _: None,
    line: SlowLine | None = None,
) -> Iterator[S3Server]:
    """Serve one manner of S3 over TLS until the block ends.

    Args:
        manner: One of ``manners.MANNERS``.
        folder: Where to put its certificates.
        host: IP address to serve at.
        note: Hears of each request.
        line: What all that it takes comes through; ``None`` for nothing that is slower than loopback.
    """
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Handler(MotoRequestHandler):
        """Keeps connections open, and says nothing on the terminal."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body go out one by one: the second would wait for a delayed ACK

        def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
            """Say nothing."""

    ca_file, server_file = make_certificates(folder, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    running = S3Server(manner, "", ca_file, note)
    app: Wsgi = Watched(in_manner(manner, DomainDispatcherApplication(create_backend_app), secret_of), running)
    app = app if line is None else line.in_front_of(app)
    server = make_server(host, 0, app, threaded=True, request_handler=Handler, ssl_context=context)
    running.url = f"https://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Watched:
    """Lets in whom the account knows, notes each request, and answers refusals as S3 does."""

    def __init__(self, app: Wsgi, running: S3Server) -> None:
        """Stand around an app."""
        self._app, self._running = app, running

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        who = ""
        try:
            who = admit(environ)
            self._running.trouble(environ)
            answer = self._app(environ, start_response)
        except RefusalError as err:
            self._note(environ, err.code, who)
            read_body(environ)  # what is left of it would be read as the next request
            body = f"<Error><Code>{err.code}</Code><Message>{err.code}</Message></Error>".encode()
            start_response(err.status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
        self._note(environ, "", who)
        return answer

    def _note(self, environ: Environ, refused: str, who: str) -> None:
        asked = Asked(environ["REQUEST_METHOD"], unquote(environ["PATH_INFO"]), refused, who, key_id_of(environ))
        self._running.requests.append(asked)
        self._running.note(asked)
