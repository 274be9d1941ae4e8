"""The account of an emulated store: its bucket, its key, its role, and what the role's short-lived keys open."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from runner.emulation.cloud_state import REHEARSAL_KEY
from runner.emulation.s3.requests import RefusalError, headers_of, query_of
from runner.emulation.service import Environ

NUMBER = "123456789012"
ACCESS_KEY_ID = "AKIAREHEARSAL0000000"
"""The key that is taken; made up and known to everybody, never anybody's own."""
SECRET_KEY = REHEARSAL_KEY
BUCKET = "a-bucket"
ROLE_ARN = f"arn:aws:iam::{NUMBER}:role/rehearsal-runs"
OWNER = "the owner"
LISTING = "s3:ListBucket"
ACTIONS = {
    "GET": "s3:GetObject",
    "HEAD": "s3:GetObject",
    "PUT": "s3:PutObject",
    "POST": "s3:PutObject",
    "DELETE": "s3:DeleteObject",
}
"""What a request for an object does; a POST begins and ends an upload in parts."""
DENIED = "403 Forbidden", "AccessDenied"


@dataclass(frozen=True)
class Wanted:
    """What a request wants.

    Attributes:
        action: In the words of policies.
        resource: ARN of the bucket or of the object.
        prefix: What is to be listed, where something is.
    """

    action: str
    resource: str
    prefix: str = ""


def secret_of(access_key_id: str) -> str | None:
    """Return the secret of the account's key, or of one that STS gave out; ``None`` for any other."""
    if access_key_id == ACCESS_KEY_ID:
        return SECRET_KEY
    role = role_of(access_key_id)
    return None if role is None else str(role.secret_access_key)


def admit(environ: Environ) -> str:
    """Return who asks: ``OWNER``, or the name of a role's session.

    Raises:
        RefusalError: If the key is none, has ended, or does not open what is wanted.
    """
    key_id = key_id_of(environ)
    if key_id == ACCESS_KEY_ID:
        return OWNER
    role = role_of(key_id)
    if role is None:
        raise RefusalError("403 Forbidden", "InvalidAccessKeyId" if key_id else "AccessDenied")
    if headers_of(environ).get("x-amz-security-token") != role.session_token:
        raise RefusalError("400 Bad Request", "InvalidToken")
    if role.expiration <= datetime.now(UTC).replace(tzinfo=None):
        raise RefusalError("400 Bad Request", "ExpiredToken")
    if role.policy and not is_allowed(json.loads(role.policy), _wanted(environ)):
        raise RefusalError(*DENIED)
    return str(role.session_name)


def key_id_of(environ: Environ) -> str:
    """Return by which key a request is signed; nothing for one that is not."""
    return headers_of(environ).get("authorization", "").partition("Credential=")[2].partition("/")[0]


def is_allowed(policy: dict[str, Any], wanted: Wanted) -> bool:
    """Return whether a policy allows what is wanted; it knows what Douse's have, and refuses by any other condition."""
    return any(_fits(statement, wanted) for statement in policy["Statement"] if statement["Effect"] == "Allow")


def _fits(statement: dict[str, Any], wanted: Wanted) -> bool:
    if wanted.action not in _several(statement["Action"]):
        return False
    if not any(fnmatchcase(wanted.resource, pattern) for pattern in _several(statement["Resource"])):
        return False
    for test, values in statement.get("Condition", {}).items():
        patterns = _several(values.get("s3:prefix", []))
        if test != "StringLike" or not any(fnmatchcase(wanted.prefix, pattern) for pattern in patterns):
            return False
    return True


def _several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _wanted(environ: Environ) -> Wanted:
    bucket, _, name = environ["PATH_INFO"].lstrip("/").partition("/")
    query = dict(query_of(environ))
    if not name:
        return Wanted(LISTING, f"arn:aws:s3:::{bucket}", query.get("prefix", ""))
    is_abort = environ["REQUEST_METHOD"] == "DELETE" and "uploadId" in query
    action = "s3:AbortMultipartUpload" if is_abort else ACTIONS[environ["REQUEST_METHOD"]]
    return Wanted(action, f"arn:aws:s3:::{bucket}/{name}")


def role_of(access_key_id: str) -> Any:
    """Return the session of a role by its key, as moto's STS keeps it."""
    from moto.sts.models import sts_backends

    return sts_backends[NUMBER]["aws"].get_assumed_role_from_access_key(access_key_id)


def make_bucket() -> None:
    """Make the account's bucket."""
    from moto.s3.models import s3_backends

    s3_backends[NUMBER]["aws"].create_bucket(BUCKET, "us-east-1")
