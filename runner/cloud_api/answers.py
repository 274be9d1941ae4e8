"""Answers of the clouds: read strictly where we read them, an error whenever they are not what was promised."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from runner.errors import UnreadableAnswerError

MORE = re.compile(r"page|next|cursor|continuation|more|truncated|partial", re.IGNORECASE)
"""Names of fields by which an answer would say that it is not the whole list."""
SHOWN_CHARS = 500
WHOLE = frozenset({200, 201})
"""Statuses of an answer that has all its content; 206 has a part of it."""


class Sent(BaseModel):
    """What we send: unknown fields refused, what is secret kept out of every error's words."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class Answered(BaseModel):
    """What a cloud answers: what we read has to be there, of the right type; the rest is left alone."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, hide_input_in_errors=True)


class Envelope(Answered):
    """The outermost part of an answer; it remembers unknown fields, for one may say that the list is not whole."""

    model_config = ConfigDict(extra="allow")

    @property
    def sign_of_more(self) -> str | None:
        """Return the name of a field that says that there is more, or ``None``."""
        extra: Mapping[str, Any] = self.model_extra or {}
        return next((name for name, value in extra.items() if MORE.search(name) and value), None)


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP, the account's key already blotted out.

    Attributes:
        status: HTTP status.
        headers: Headers by lower-case name.
        body: Content.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Return the beginning of the content as one short text."""
        return " ".join(self.body[: 4 * SHOWN_CHARS].decode(errors="replace").split())[:SHOWN_CHARS]


Model = TypeVar("Model", bound=Answered)


def read(model: type[Model], answer: Answer, *, cloud: str, doing: str) -> Model:
    """Return an answer as the model says.

    Raises:
        UnreadableAnswerError: If it is empty, no JSON, of another shape, or says that it is only a part.
    """
    if answer.status not in WHOLE:
        raise unreadable(cloud, doing, f"HTTP {answer.status} is no whole answer", answer)
    try:
        found = model.model_validate_json(answer.body)
    except ValidationError as err:
        problem = err.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"]) or "body"
        reason = "it is empty" if not answer.body.strip() else f"{where}: {problem['msg'].lower()}"
        raise unreadable(cloud, doing, reason, answer) from err
    if isinstance(found, Envelope) and found.sign_of_more is not None:
        raise unreadable(cloud, doing, f"it is only a part, there is {found.sign_of_more}", answer)
    return found


def unreadable(cloud: str, doing: str, reason: str, answer: Answer) -> UnreadableAnswerError:
    """Return the error for an answer that does not match its schema; it does not quote what may be secret."""
    kind = answer.headers.get("content-type", "no content type")
    return UnreadableAnswerError(
        f"{cloud}: cannot {doing}: the answer does not match its schema: {reason}",
        details=f"HTTP {answer.status}, {kind}, {len(answer.body)} bytes",
        resolution=f"the API has changed: update Douse (`git pull`), and see {cloud}'s console (docs/clouds/)",
        status=answer.status,
    )
