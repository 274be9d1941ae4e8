"""Answers of the clouds: read strictly where we read them, an error whenever they are not what was promised."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runner.errors import UnreadableAnswerError

MORE = re.compile(r"pag(e|inat)|next|cursor|continuation|more|truncated|partial|remaining", re.IGNORECASE)
"""Names of fields by which an answer would say that it is not the whole list."""
AT_END = re.compile(r"(has|is|any).*(more|next|truncated|partial)", re.IGNORECASE)
"""Names of those that end the list by being false."""
MORE_HEADER = re.compile(r"next-?(page|cursor|token)|continuation|cursor", re.IGNORECASE)
SHOWN_CHARS = 500
WHOLE = frozenset({200, 201})
"""Statuses of an answer that has all its content; 206 has a part of it."""


class Sent(BaseModel):
    """What we send: unknown fields refused, what is secret kept out of every error's words."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class Answered(BaseModel):
    """What a cloud answers: what we read has to be there, of the right type; the rest is left alone."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class Envelope(Answered):
    """The outermost part of an answer; it remembers unknown fields, for one may say that the list is not whole."""

    model_config = ConfigDict(extra="allow")

    @property
    def sign_of_more(self) -> str | None:
        """Return the name of a field, at whatever depth, that says that there is more, or ``None``."""
        return _sign_in(self.model_extra or {})


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


Count = Annotated[int, Field(ge=0, le=10**15)]
"""A whole number of an answer with which is reckoned: JSON has larger ones than a float can hold."""
Model = TypeVar("Model", bound=Answered)
Entry = TypeVar("Entry")
Found = TypeVar("Found")


def read(model: type[Model], answer: Answer, *, cloud: str, doing: str, may_be_part: bool = False) -> Model:
    """Return an answer as the model says.

    Args:
        model: What it has to be.
        answer: The answer.
        cloud: Name of the cloud.
        doing: What was asked for.
        may_be_part: Whether the caller looks at what there is first, and calls ``refuse_part`` then.

    Raises:
        UnreadableAnswerError: If it is empty, no JSON, of another shape, or says that it is only a part.
    """
    if answer.status not in WHOLE:
        raise unreadable(cloud, doing, f"HTTP {answer.status} is no whole answer", answer)
    try:
        found = model.model_validate_json(answer.body)
    except ValidationError as err:
        reason = "it is empty" if not answer.body.strip() else mismatch(err, "body")
        raise unreadable(cloud, doing, reason, answer) from err
    if isinstance(found, Envelope) and not may_be_part:
        refuse_part(found, answer, cloud=cloud, doing=doing)
    return found


def refuse_part(envelope: Envelope, answer: Answer, *, cloud: str, doing: str) -> None:
    """Refuse an answer that says, in its fields or its headers, that there is more than it holds.

    Raises:
        UnreadableAnswerError: If it does.
    """
    sign = envelope.sign_of_more or _sign_in_headers(answer.headers)
    if sign is not None:
        raise unreadable(cloud, doing, f"it is only a part, there is {sign}", answer)


def read_entry(model: type[Model], entry: object, *, cloud: str, doing: str) -> Model:
    """Return an entry of a list as the model says.

    Raises:
        UnreadableAnswerError: If it is of another shape.
    """
    try:
        return model.model_validate_json(json.dumps(entry))  # as JSON: strict, and a time is a text there
    except ValidationError as err:
        raise unreadable(cloud, doing, mismatch(err, "entry")) from err


def read_some(entries: Iterable[Entry], read_one: Callable[[Entry], Found]) -> list[Found]:
    """Return the entries of a catalogue that can be read: one odd kind of machine costs that kind alone.

    Raises:
        UnreadableAnswerError: If there are entries and none can be read: the first one's.
    """
    found: list[Found] = []
    odd: list[UnreadableAnswerError] = []
    for entry in entries:
        try:
            found.append(read_one(entry))
        except UnreadableAnswerError as err:
            odd.append(err)
    if odd and not found:
        raise odd[0]
    return found


def unreadable(cloud: str, doing: str, reason: str, answer: Answer | None = None) -> UnreadableAnswerError:
    """Return the error for an answer, or an entry of one, that does not match its schema; it quotes no secrets."""
    kind = "" if answer is None else answer.headers.get("content-type", "no content type")
    return UnreadableAnswerError(
        f"{cloud}: cannot {doing}: the answer does not match its schema: {reason}",
        details=None if answer is None else f"HTTP {answer.status}, {kind}, {len(answer.body)} bytes",
        resolution=f"the API has changed: update Douse (`git pull`), and see {cloud}'s console (docs/clouds/)",
        status=None if answer is None else answer.status,
    )


def mismatch(err: ValidationError, whole: str) -> str:
    """Return where content is not as its model says, and why; ``whole`` is the word for all of it."""
    problem = err.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or whole
    return f"{where}: {problem['msg'].lower()}"


def _sign_in(value: object) -> str | None:
    """Return the name of a field that says that there is more; numbers of pages do not, beside a "no more"."""
    if isinstance(value, list):
        return next(filter(None, map(_sign_in, value)), None)
    if not isinstance(value, dict):
        return None
    is_end = any(flag is False and AT_END.search(name) for name, flag in value.items())
    for name, inner in value.items():
        if isinstance(inner, dict | list):
            sign = _sign_in(inner)
        elif name == "rel":
            sign = "rel: next" if inner == "next" else None
        else:
            is_number = isinstance(inner, int | float) and not isinstance(inner, bool)
            sign = name if inner and MORE.search(name) and not (is_end and is_number) else None
        if sign is not None:
            return sign
    return None


def _sign_in_headers(headers: Mapping[str, str]) -> str | None:
    if re.search(r'rel="?next', headers.get("link", "")):
        return "a header link"
    return next((f"a header {name}" for name, value in headers.items() if value and MORE_HEADER.search(name)), None)
