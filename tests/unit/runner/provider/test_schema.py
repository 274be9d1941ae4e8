"""Attributes: planned values, numbers, completeness, and what Terraform is told of them."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from runner.provider.schema import (
    BOOL,
    NUMBER,
    STRING,
    Attr,
    complete,
    list_of,
    map_of,
    object_of,
    read_values,
    schema_message,
)
from runner.provider.wire import UNKNOWN


@pytest.mark.parametrize(
    ("attr", "proposed", "config", "prior", "planned"),
    [
        (Attr(required=True), "new", "new", "old", "new"),
        (Attr(optional=True), None, None, "old", None),
        (Attr(computed=True), None, None, None, UNKNOWN),
        (Attr(computed=True), "old", None, "old", "old"),
        (Attr(NUMBER, default=5), None, None, None, 5),
        (Attr(NUMBER, default=5), 7, None, 7, 5),
        (Attr(NUMBER, default=5), 9, 9, 7, 9),
        (Attr(optional=True, write_only=True), None, "secret", None, None),
    ],
)
def test_a_planned_value_is_the_configurations_the_default_the_former_or_unknown(
    attr: Attr, proposed: object, config: object, prior: object, planned: object
) -> None:
    assert attr.plan(proposed, config, prior) == planned


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (NUMBER, "1.29", Decimal("1.29")),
        (NUMBER, 0.5, Decimal("0.5")),
        (NUMBER, 3.0, 3),
        (NUMBER, "150000000000000000000000", 150000000000000000000000),
        (STRING, "1.29", "1.29"),
        (list_of(NUMBER), ["1.5", 2], [Decimal("1.5"), 2]),
        (map_of(NUMBER), {"a": "1.5"}, {"a": Decimal("1.5")}),
        (object_of(a=NUMBER, b=STRING), {"a": "1.5", "b": "1.5"}, {"a": Decimal("1.5"), "b": "1.5"}),
        (NUMBER, None, None),
        (list_of(NUMBER), UNKNOWN, UNKNOWN),
    ],
)
def test_numbers_are_numbers_wherever_they_stand(kind: object, value: object, read: object) -> None:
    assert Attr(kind).read(value) == read


def test_numbers_in_lists_of_objects_are_read_too() -> None:
    attr = Attr(items={"top": Attr(NUMBER)})

    assert attr.read([{"top": "1.5"}, {"top": UNKNOWN}]) == [{"top": Decimal("1.5")}, {"top": UNKNOWN}]
    assert attr.read(UNKNOWN) is UNKNOWN


def test_a_state_has_every_attribute_and_no_other_and_no_secret() -> None:
    attrs = {"a": Attr(), "b": Attr(), "wo": Attr(write_only=True)}

    assert complete(attrs, {"a": 1, "wo": "secret", "gone": 2}) == {"a": 1, "b": None, "wo": None}
    assert complete(attrs, None) is None
    assert read_values(attrs, None) is None


def test_terraform_is_told_names_types_and_flags() -> None:
    block = schema_message(
        {
            "b": Attr(BOOL, "Words.", default=True),
            "a": Attr(items={"x": Attr(NUMBER, required=True)}, required=True),
            "s": Attr(optional=True, sensitive=True, write_only=True),
        },
        "Doc.",
        2,
    )

    first, second, third = block.block.attributes
    assert (block.version, block.block.description) == (2, "Doc.")
    assert (first.name, first.nested_type.nesting, first.required) == ("a", 2, True)
    assert json.loads(first.nested_type.attributes[0].type) == "number"
    assert (second.name, json.loads(second.type), second.description) == ("b", "bool", "Words.")
    assert (second.optional, second.computed, second.required) == (True, True, False)
    assert (third.sensitive, third.write_only, third.computed) == (True, True, False)
