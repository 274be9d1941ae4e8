"""Answers made from a vendor's document: any that its schemas allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Json = Mapping[str, Any]
MOST = 3
"""Entries of a list, and fields beside those that a schema names."""


class Document:
    """A vendor's OpenAPI document, as what its answers are made from."""

    def __init__(self, document: Json) -> None:
        """Take the document; nothing is made yet."""
        self._document = document
        self._made: dict[str, st.SearchStrategy[Any]] = {}

    def operation(self, method: str, path: str) -> Json:
        """Return the operation that answers a request.

        Args:
            method: HTTP method.
            path: Path of the request, with values where the document has names in braces.
        """
        asked = path.split("/")
        fitting = [
            operations[method.lower()]
            for known, operations in sorted(self._document["paths"].items(), key=lambda item: "{" in item[0])
            if method.lower() in operations and _fits(known.split("/"), asked)
        ]
        found: Json = fitting[0]
        return found

    def answers(self, operation: Json) -> st.SearchStrategy[tuple[int, Any]]:
        """Return the strategy of a status that an operation may answer with, and a body; ``None`` for no body."""
        return st.one_of([self._answer(*known) for known in operation["responses"].items()])

    def schema_of(self, operation: Json, status: str) -> Json | None:
        """Return the schema of the body of an answer, or ``None`` where it has none."""
        content = self._resolved(operation["responses"][status]).get("content", {})
        found = next(iter(content.values()), None)
        return None if found is None else found["schema"]

    def valid(self, schema: Json) -> st.SearchStrategy[Any]:
        """Return the strategy of a value that a schema allows."""
        key = repr(schema)
        if key not in self._made:
            self._made[key] = st.deferred(lambda: self._of(self._whole(schema)))
        return self._made[key]

    def _answer(self, status: str, response: Json) -> st.SearchStrategy[tuple[int, Any]]:
        content = self._resolved(response).get("content", {})
        bodies = [self.valid(one["schema"]) for one in content.values()]
        statuses = st.sampled_from([418, 500, 502, 503]) if status == "default" else st.just(int(status))
        return st.tuples(statuses, st.one_of(bodies) if bodies else st.none())

    def _of(self, schema: Json) -> st.SearchStrategy[Any]:
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return st.one_of([self.valid(choice) for choice in schema[word]])
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        kind = schema.get("type", "object")
        if isinstance(kind, list):
            return st.one_of([self._of({**schema, "type": one}) for one in kind])
        made = {"object": self._object, "array": self._array, "string": _string, "integer": _integer, "number": _number}
        known = {"boolean": st.booleans(), "null": st.none()}
        return known[kind] if kind in known else made[kind](schema)

    def _object(self, schema: Json) -> st.SearchStrategy[Any]:
        fields = {name: self.valid(part) for name, part in schema.get("properties", {}).items()}
        required = set(schema.get("required", ()))
        known = st.fixed_dictionaries(
            {name: fields[name] for name in fields if name in required},
            optional={name: fields[name] for name in fields if name not in required},
        )
        more = schema.get("additionalProperties")
        if not isinstance(more, dict):
            return known
        others = st.dictionaries(
            st.text(max_size=8).filter(lambda name: name not in fields), self.valid(more), max_size=MOST
        )
        return st.builds(lambda first, second: {**second, **first}, known, others)

    def _array(self, schema: Json) -> st.SearchStrategy[Any]:
        least = schema.get("minItems", 0)
        return st.lists(
            self.valid(schema["items"]), min_size=least, max_size=min(schema.get("maxItems", MOST), least + MOST)
        )

    def _whole(self, schema: Json) -> Json:
        """Return a schema with what it refers to, and the parts of its ``allOf``, put together."""
        schema = self._resolved(schema)
        whole: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in map(self._whole, schema.get("allOf", ())):
            whole["properties"] = {**part.get("properties", {}), **whole.get("properties", {})}
            whole["required"] = [*part.get("required", ()), *whole.get("required", ())]
            whole = {**part, **whole}
        return whole

    def _resolved(self, value: Json) -> Json:
        while "$ref" in value:
            path, value = value["$ref"].removeprefix("#/").split("/"), self._document
            for name in path:
                value = value[name]
        return value


def _fits(known: list[str], asked: list[str]) -> bool:
    return len(known) == len(asked) and all(
        name.startswith("{") or name == part for name, part in zip(known, asked, strict=True)
    )


def _string(schema: Json) -> st.SearchStrategy[str]:
    if schema.get("format") == "date-time":
        return st.datetimes().map(lambda moment: f"{moment.isoformat(timespec='seconds')}Z")
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True)
    least = schema.get("minLength", 0)
    return st.text(min_size=least, max_size=min(schema.get("maxLength", 40), least + 20))


def _integer(schema: Json) -> st.SearchStrategy[int]:
    return st.integers(schema.get("minimum"), schema.get("maximum"))


def _number(schema: Json) -> st.SearchStrategy[float]:
    bounds = {"min_value": schema.get("minimum"), "max_value": schema.get("maximum")}
    return st.floats(**bounds, allow_nan=False, allow_infinity=False) | st.integers(
        schema.get("minimum"), schema.get("maximum")
    )
