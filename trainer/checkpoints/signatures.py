"""The signature of one request to S3 (AWS Signature Version 4): the few cases that small objects need.

botocore's own takes thirty times as long, for it knows all services and what others may have done to a request before.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """What a request is signed with; as botocore has it."""

    access_key: str
    secret_key: str
    token: str | None


def sign(
    method: str,
    path: str,
    headers: Mapping[str, str],
    content_sha256: str,
    credentials: Credentials,
    region: str,
    now_s: float,
) -> dict[str, str]:
    """Return the headers of a request, signed; all of them are part of the signature, and the content is.

    Args:
        method: HTTP method.
        path: As it is sent, without a query.
        headers: By names in lower case; ``host`` among them.
        content_sha256: SHA-256 of the body.
        credentials: Who signs.
        region: Where the bucket is.
        now_s: Seconds since 1970.
    """
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    sent = {**headers, "x-amz-content-sha256": content_sha256, "x-amz-date": moment}
    if credentials.token:
        sent["x-amz-security-token"] = credentials.token
    names = sorted(sent)
    signed, scope = ";".join(names), f"{moment[:8]}/{region}/s3/aws4_request"
    request = "\n".join([method, path, "", *(f"{name}:{sent[name]}" for name in names), "", signed, content_sha256])
    text = f"{ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.digest(_key(credentials.secret_key, scope), text.encode(), "sha256").hex()
    who = f"Credential={credentials.access_key}/{scope}"
    return {**sent, "authorization": f"{ALGORITHM} {who}, SignedHeaders={signed}, Signature={signature}"}


@lru_cache(maxsize=8)
def _key(secret_key: str, scope: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key
