"""What a cloud answers, as the refusals are given it."""

from __future__ import annotations

import json

from runner.cloud_api.answers import Answer


def answer(status: int, body: object) -> Answer:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Answer(status, {"content-type": "text/plain" if isinstance(body, str) else "application/json"}, content)
