"""A small GraphQL: reads the text of a request into fields with arguments, and cuts an answer down to them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TOKEN = re.compile(
    r'\s+|,|#[^\n]*|(\.\.\.|[{}()\[\]:!$=@|]|"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[_A-Za-z]\w*)'
)
NAME = re.compile(r"[_A-Za-z]\w*")


class GraphqlError(Exception):
    """The text is not GraphQL, or asks for what there is not."""


@dataclass(frozen=True)
class Field:
    """A field that was asked for, with its arguments and its own fields."""

    name: str
    alias: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fields: tuple[Field, ...] = ()


def parse_request(text: str, variables: Mapping[str, Any]) -> tuple[str, tuple[Field, ...]]:
    """Return ``query`` or ``mutation``, and the fields at its root.

    Raises:
        GraphqlError: If it cannot be read, or uses a variable that was not given.
    """
    reader = _Reader(_tokens(text), variables)
    return reader.document()


def project(value: Any, fields: tuple[Field, ...], path: str) -> Any:
    """Return of an answer what was asked for.

    Raises:
        GraphqlError: If there is no such field.
    """
    if value is None:
        return None
    if isinstance(value, list):
        return [project(item, fields, path) for item in value]
    if not isinstance(value, dict):
        if fields:
            raise GraphqlError(f'Field "{path}" must not have a selection since it has no subfields.')
        return value
    if not fields:
        raise GraphqlError(f'Field "{path}" must have a selection of subfields.')
    unknown = [wanted.name for wanted in fields if wanted.name not in value]
    if unknown:
        raise GraphqlError(f'Cannot query field "{unknown[0]}" on "{path}".')
    return {wanted.alias: project(value[wanted.name], wanted.fields, wanted.name) for wanted in fields}


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise GraphqlError(f"Syntax Error: Unexpected character {text[at]!r}.")
        if match.group(1):
            tokens.append(match.group(1))
        at = match.end()
    return tokens


class _Reader:
    def __init__(self, tokens: list[str], variables: Mapping[str, Any]) -> None:
        self._tokens, self._at, self._variables = tokens, 0, variables
        self._declared: dict[str, Any] = {}

    def document(self) -> tuple[str, tuple[Field, ...]]:
        kind = "query"
        if self._next_is("query", "mutation"):
            kind = self._take()
            if NAME.fullmatch(self._peek()):
                self._take()
            if self._next_is("("):
                self._declarations()
        fields = self._fields()
        if self._at != len(self._tokens):
            raise GraphqlError(f"Syntax Error: Unexpected {self._peek()!r}.")
        unknown = sorted(set(self._variables) - set(self._declared))
        if unknown:
            raise GraphqlError(f'Variable "${unknown[0]}" is not declared.')
        return kind, fields

    def _declarations(self) -> None:
        self._take("(")
        while not self._next_is(")"):
            self._take("$")
            name = self._name()
            self._take(":")
            is_required = self._type()
            default = None
            if self._next_is("="):
                self._take()
                default = self._value()
            if is_required and self._variables.get(name) is None:
                raise GraphqlError(f'Variable "${name}" of required type was not provided.')
            self._declared[name] = self._variables.get(name, default)
        self._take(")")

    def _type(self) -> bool:
        if self._next_is("["):
            self._take()
            self._type()
            self._take("]")
        else:
            self._name()
        if self._next_is("!"):
            self._take()
            return True
        return False

    def _fields(self) -> tuple[Field, ...]:
        self._take("{")
        fields = []
        while not self._next_is("}"):
            fields.append(self._field())
        self._take("}")
        return tuple(fields)

    def _field(self) -> Field:
        name = alias = self._name()
        if self._next_is(":"):
            self._take()
            name = self._name()
        arguments = self._object("(", ")") if self._next_is("(") else {}
        return Field(name, alias, arguments, self._fields() if self._next_is("{") else ())

    def _object(self, opening: str, closing: str) -> dict[str, Any]:
        self._take(opening)
        found: dict[str, Any] = {}
        while not self._next_is(closing):
            name = self._name()
            self._take(":")
            found[name] = self._value()
        self._take(closing)
        return found

    def _value(self) -> Any:
        word = self._peek()
        if word == "{":
            return self._object("{", "}")
        if word == "[":
            return self._list()
        self._take()
        if word == "$":
            name = self._name()
            if name not in self._declared:
                raise GraphqlError(f'Variable "${name}" is not defined.')
            return self._declared[name]
        words = {"true": True, "false": False, "null": None}
        if word in words:
            return words[word]
        return word if NAME.fullmatch(word) else _literal(word)

    def _list(self) -> list[Any]:
        self._take("[")
        found = []
        while not self._next_is("]"):
            found.append(self._value())
        self._take("]")
        return found

    def _name(self) -> str:
        token = self._take()
        if not NAME.fullmatch(token):
            raise GraphqlError(f"Syntax Error: Expected Name, found {token!r}.")
        return token

    def _next_is(self, *tokens: str) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at] in tokens

    def _peek(self) -> str:
        if self._at >= len(self._tokens):
            raise GraphqlError("Syntax Error: Unexpected <EOF>.")
        return self._tokens[self._at]

    def _take(self, wanted: str | None = None) -> str:
        token = self._peek()
        if wanted is not None and token != wanted:
            raise GraphqlError(f"Syntax Error: Expected {wanted!r}, found {token!r}.")
        self._at += 1
        return token


def _literal(token: str) -> Any:
    try:
        return json.loads(token)
    except ValueError as err:
        raise GraphqlError(f"Syntax Error: Unexpected {token!r}.") from err
