"""Sessions of roles that end earlier than was asked for: AWS's shortest one outlasts any rehearsal of their renewal."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from runner.emulation.calls import Answer
from runner.emulation.s3.account import role_of

KEY_ID = re.compile(r"<AccessKeyId>(.*?)</AccessKeyId>")
ENDS_AT = re.compile(r"<Expiration>.*?</Expiration>")


def ending_early(answer: Answer, most_s: float) -> Answer:
    """Return STS's answer with a session that ends after so many seconds at most, and let moto know of it."""
    text = answer.bytes().decode()
    found = KEY_ID.search(text)
    role = found and role_of(found[1])
    ends_at = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=most_s)
    if not role or role.expiration <= ends_at:
        return answer
    role.expiration = ends_at
    return replace(answer, raw=ENDS_AT.sub(f"<Expiration>{ends_at:%Y-%m-%dT%H:%M:%SZ}</Expiration>", text).encode())
