"""What was asked of the emulated clouds: every request and its answer, without secrets."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HIDDEN = "***"
HIDDEN_HEADERS = frozenset({"authorization", "cookie", "x-amz-security-token"})
HIDDEN_FIELDS = frozenset({"user_data", "private_key", "jupyter_token", "password", "UserData", "SecretAccessKey"})
OPEN_VARIABLES = frozenset({"DOUSE_RUN", "DOUSE_EXPIRES", "PUBLIC_KEY"})
"""Variables of a pod that may be shown: the others may hold anything."""
VALUE_IN_TEXT = re.compile(r"(\bvalue:\s*)\"(?:[^\"\\]|\\.)*\"")


@dataclass(frozen=True)
class Recorded:
    """One request.

    Attributes:
        at: When, in seconds since the epoch.
        cloud: Of which cloud; a cloud's second API has a name of its own.
        method: HTTP method.
        path: Path from the root of the server.
        query: The query.
        headers: Without those that hold keys.
        body: JSON, with secrets replaced by stars.
        is_authorised: Whether it carried a key that is right.
        status: HTTP status of the answer.
        answer: JSON, with secrets replaced by stars.
        answer_headers: Headers of the answer.
        fault: Names of the faults that shaped the answer.
        is_lost: The connection broke off before the answer was whole.
    """

    at: float
    cloud: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: object
    is_authorised: bool
    status: int
    answer: object
    answer_headers: Mapping[str, str]
    fault: tuple[str, ...] = ()
    is_lost: bool = False


class RequestsLog:
    """Every request in the order of the answers.

    Attributes:
        is_kept: Whether there is anything to add: freeing a request of its secrets takes as long as answering it.
    """

    def __init__(self, *, is_kept: bool = True) -> None:
        """Start with nothing."""
        self.is_kept = is_kept
        self._lock = threading.Lock()
        self._all: list[Recorded] = []

    def add(self, recorded: Recorded) -> None:
        """Keep one."""
        with self._lock:
            self._all.append(recorded)

    def all(self) -> list[Recorded]:
        """Return all so far."""
        with self._lock:
            return list(self._all)


def shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers without those that hold keys."""
    return {name: value for name, value in headers.items() if name.lower() not in HIDDEN_HEADERS}


def without_secrets(value: Any) -> Any:
    """Return a copy of JSON in which whatever may be a secret is replaced by stars, so that it keeps its schema."""
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _field(name, item) for name, item in value.items()}


def _field(name: str, value: Any) -> Any:
    if name in HIDDEN_FIELDS:
        return None if value is None else HIDDEN
    if name == "query" and isinstance(value, str):  # values written into the text of a GraphQL request
        return VALUE_IN_TEXT.sub(rf'\1"{HIDDEN}"', value)
    if name == "env" and isinstance(value, dict):
        return {key: item if key in OPEN_VARIABLES else HIDDEN for key, item in value.items()}
    if name == "env" and isinstance(value, list):  # GraphQL's list of {key, value}
        return [_pair(item) for item in value]
    return without_secrets(value)


def _pair(item: Any) -> Any:
    if not isinstance(item, dict) or item.get("key") in OPEN_VARIABLES:
        return item
    return {**item, "value": HIDDEN}
