"""AWS over HTTP: what a request asks for, an answer out of moto, refusals in AWS's own XML."""

from __future__ import annotations

import io
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from runner.emulation.calls import Answer
from runner.emulation.service import Environ, Wsgi

CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request")
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


@dataclass(frozen=True)
class AwsCall:
    """A request to AWS.

    Attributes:
        method: In capital letters.
        path: Decoded.
        query: The query as it is written.
        headers: Names in small letters.
        body: As it came; empty for S3, whose bodies may be large and are passed through.
        service: Which service it is signed for; empty for an unsigned one.
        region: Which region it is signed for.
        key_id: Whose key signed it.
        action: What it asks for; empty where the service has no actions (S3).
        fields: Its form fields.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    service: str
    region: str
    key_id: str
    action: str
    fields: Mapping[str, str]

    def listed(self, name: str) -> list[str]:
        """Return a list among the form fields (``InstanceId.1``, ``InstanceId.2``, …)."""
        pattern = re.compile(rf"{re.escape(name)}\.\d+")
        return [value for field, value in self.fields.items() if pattern.fullmatch(field)]


def read(environ: Environ) -> AwsCall:
    """Read a request; the body of one to S3 stays where it is."""
    headers = {name[5:].lower().replace("_", "-"): str(v) for name, v in environ.items() if name.startswith("HTTP_")}
    query = str(environ.get("QUERY_STRING", ""))
    signed = CREDENTIAL.search(headers.get("authorization", "")) or CREDENTIAL.search(
        f"Credential={dict(parse_qsl(query)).get('X-Amz-Credential', '')}"
    )
    key_id, _, region, service = signed.groups() if signed else ("", "", "us-east-1", "")
    body = b""
    if service and service != "s3":
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = io.BytesIO(body)
    fields = _fields(body, str(environ.get("CONTENT_TYPE", "")))
    target = headers.get("x-amz-target", "").rpartition(".")[2]
    return AwsCall(
        str(environ["REQUEST_METHOD"]),
        str(environ.get("PATH_INFO", "/")),
        query,
        headers,
        body,
        service,
        region,
        key_id,
        fields.get("Action", target),
        fields,
    )


def call_moto(app: Wsgi, environ: Environ, body: bytes) -> Answer:
    """Let moto answer, and return its answer whole."""
    seen: dict[str, Any] = {}

    def start(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], None]:
        seen.update(status=int(status.split(maxsplit=1)[0]), headers=dict(headers))
        return lambda _: None

    result = app({**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}, start)
    try:
        content = b"".join(result)
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()
    return Answer(seen["status"], None, seen["headers"], content)


def client_token(call: AwsCall) -> str:
    """Return the token by which AWS knows a repeated request, empty where there is none."""
    if call.service != "scheduler":
        return call.fields.get("ClientToken", "")
    where = dict(parse_qsl(call.query)) if call.method == "DELETE" else json.loads(call.body or b"{}")
    return str(where.get("ClientToken") or where.get("clientToken") or "")


def ec2_answer(action: str, inner: str) -> Answer:
    """Return an answer of EC2's."""
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{NAMESPACE}">'
        f"<requestId>{_request_id()}</requestId>{inner}</{action}Response>"
    )
    return Answer(200, None, {"Content-Type": "text/xml"}, text.encode())


def refusal(service: str, status: int, code: str, message: str) -> Answer:
    """Return a refusal as the service words it."""
    fault = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    if service == "ec2":
        text = f"<Response><Errors>{fault}</Errors><RequestID>{_request_id()}</RequestID></Response>"
    elif service == "s3":
        text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    elif service in ("ssm", "ce", "pricing"):
        text = f'{{"__type": "{code}", "message": "{message}"}}'
        return Answer(status, None, {"Content-Type": "application/x-amz-json-1.1"}, text.encode())
    else:
        typed = fault.replace("<Error>", "<Error><Type>Sender</Type>")
        text = f"<ErrorResponse>{typed}<RequestId>{_request_id()}</RequestId></ErrorResponse>"
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return Answer(status, None, {"Content-Type": "text/xml"}, (head + text).encode())


def _fields(body: bytes, content_type: str) -> dict[str, str]:
    if not content_type.startswith("application/x-www-form-urlencoded"):
        return {}
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _request_id() -> str:
    return "-".join(secrets.token_hex(size) for size in (4, 2, 2, 2, 6))
