"""Attributes: what a resource takes and gives, and how a planned value comes about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from runner.provider.wire import MESSAGES, UNKNOWN

STRING, NUMBER, BOOL = "string", "number", "bool"
_LIST = 2
"""Nesting mode of a list in the protocol."""

Values = dict[str, Any]
"""A resource's values by attribute: state, plan or configuration."""


def list_of(kind: Any) -> list[Any]:
    """Return the type of a list."""
    return ["list", kind]


def map_of(kind: Any) -> list[Any]:
    """Return the type of a map from strings."""
    return ["map", kind]


def object_of(**kinds: Any) -> list[Any]:
    """Return the type of an object."""
    return ["object", kinds]


@dataclass(frozen=True)
class Attr:
    """One attribute.

    Attributes:
        kind: Its type, in Terraform's JSON notation.
        doc: Meaning and unit, for people.
        items: Attributes of each element; then it is a list of objects and ``kind`` is not used.
        required: Whether the configuration must give it.
        optional: Whether the configuration may give it.
        computed: Whether the provider may give it.
        sensitive: Whether Terraform hides it.
        write_only: Whether it is in the configuration alone, never in a plan or a state.
        default: Value if the configuration gives none.
        replace: Whether a change needs another machine.
    """

    kind: Any = STRING
    doc: str = ""
    items: Mapping[str, Attr] | None = None
    required: bool = False
    optional: bool = False
    computed: bool = False
    sensitive: bool = False
    write_only: bool = False
    default: Any = None
    replace: bool = False

    def plan(self, proposed: Any, config: Any, prior: Any) -> Any:
        """Return the planned value: the configuration's, else the default, else what it was, else unknown."""
        if self.write_only:
            return None
        if config is not None or not (self.computed or self.default is not None):
            return proposed
        if self.default is not None:
            return self.default
        return UNKNOWN if prior is None else prior

    def read(self, value: Any) -> Any:
        """Return a value from the wire with its numbers as numbers."""
        if self.items is not None and isinstance(value, list):
            return [read_values(self.items, item) for item in value]
        return _read(self.kind, value)

    def message(self, name: str) -> Any:
        """Return the protocol's word for it."""
        # A planned value that is not in the configuration must be computed.
        attribute = MESSAGES["Attribute"](
            name=name,
            description=self.doc,
            required=self.required,
            optional=self.optional or (self.default is not None and not self.required),
            computed=self.computed or self.default is not None,
            sensitive=self.sensitive,
            write_only=self.write_only,
        )
        if self.items is None:
            attribute.type = json.dumps(self.kind).encode()
        else:
            inner = [item.message(inner_name) for inner_name, item in sorted(self.items.items())]
            attribute.nested_type.CopyFrom(MESSAGES["ObjectType"](nesting=_LIST, attributes=inner))
        return attribute


Attrs = Mapping[str, Attr]


def schema_message(attrs: Attrs, doc: str = "", version: int = 0) -> Any:
    """Return the protocol's word for a whole schema."""
    attributes = [attr.message(name) for name, attr in sorted(attrs.items())]
    return MESSAGES["Schema"](version=version, block=MESSAGES["Block"](attributes=attributes, description=doc))


def read_values(attrs: Attrs, values: Any) -> Any:
    """Return values from the wire with their numbers as numbers; nothing and unknown stay what they are."""
    if not isinstance(values, dict):
        return values
    return {name: attr.read(values.get(name)) for name, attr in attrs.items()}


def complete(attrs: Attrs, values: Values | None) -> Values | None:
    """Return a state with every attribute of the schema and no other, write-only ones empty."""
    if values is None:
        return None
    return {name: None if attr.write_only else values.get(name) for name, attr in attrs.items()}


def _read(kind: Any, value: Any) -> Any:
    if value is None or value is UNKNOWN:
        return value
    if kind == NUMBER:
        return _number(value)
    if isinstance(kind, list) and kind[0] in ("list", "set"):
        return [_read(kind[1], item) for item in value]
    if isinstance(kind, list) and kind[0] == "map":
        return {name: _read(kind[1], item) for name, item in value.items()}
    if isinstance(kind, list) and kind[0] == "object":
        return {name: _read(inner, value.get(name)) for name, inner in kind[1].items()}
    return value


def _number(value: Any) -> int | Decimal:
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return int(exact) if exact == exact.to_integral_value() else exact
