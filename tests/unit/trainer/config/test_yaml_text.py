"""Whatever a file holds, reading it ends in data or in YAML's own error."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from trainer.config.yaml_text import parse_yaml

NAMES = tuple(zip("abcdefgh", "bcdefghi", strict=True))


def tens(line: str, first: str) -> str:
    """Return YAML whose lines each name the one before ten times."""
    return first + "".join(line.format(new=new, old=", ".join([f"*{old}"] * 10)) for old, new in NAMES)


BOMB = tens("{new}: &{new} [{old}]\n", "a: &a [1, 1]\n")
MERGES = tens("{new}: &{new} {{<<: [{old}]}}\n", "a: &a {k: 1}\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "more than 100,000 keys and values"),
        (MERGES, "more than 100,000 keys and values"),
        ("a: &a {b: *a}", "an alias stands inside of what it names"),
        ("[" * 5000, "nested too deeply"),
        ("a: 1" + "0" * 5000, "this value cannot be read"),
        ("a: 2026-13-45", "this value cannot be read: month must be in 1..12"),
        ("a: !!int ''", "this value cannot be read"),
        ("a: !!bool maybe", "this value cannot be read"),
        ("a: !!timestamp soon", "this value cannot be read"),
        ("a: \x00", "#x0000"),
        ("\ta: 1", "cannot start any token"),
        ("? [a]\n: 1", "unhashable key"),
        ("a: *nothing", "undefined alias"),
    ],
)
def test_what_cannot_be_read_is_yamls_own_error(text: str, words: str) -> None:
    with pytest.raises(yaml.YAMLError, match=words.replace(".", r"\.")):
        parse_yaml(text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a: &a {b: 1}\nc: *a", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &a {b: 1}\nc: {<<: *a, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("", None),
        ('{"a": [1, null]}', {"a": [1, None]}),
    ],
)
def test_anchors_and_json_are_read(text: str, values: Any) -> None:
    assert parse_yaml(text)[1] == values


def test_a_value_that_cannot_be_made_is_named_by_its_line() -> None:
    with pytest.raises(yaml.MarkedYAMLError) as caught:
        parse_yaml("a: 1\nb: 2026-02-31\n")

    assert caught.value.problem_mark is not None
    assert caught.value.problem_mark.line == 1
