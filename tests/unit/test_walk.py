"""The walk in docs/architecture.md: every name in it can be opened, and no room is entered more than twice."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from runner.run.run_dir import PROJECT

ROW = re.compile(r"^\| (?P<room>\w+) \| (?P<functions>`[^|]+) \| [^|]+ \|$", re.MULTILINE)


def walk() -> list[tuple[str, list[str]]]:
    """Return the rooms in the order in which they are entered, each with the names of its functions."""
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    part = text.split("## A walk:")[1].split("\n## ")[0]
    return [(row["room"], re.findall(r"`([\w.]+)`", row["functions"])) for row in ROW.finditer(part)]


def names() -> Iterator[str]:
    for room, functions in walk():
        yield from (f"runner.{room}.{function}" for function in functions)


def found(name: str) -> object:
    """Return what a dotted name names: a module as far as there are modules, attributes from there on."""
    words = name.split(".")
    for end in range(len(words) - 1, 0, -1):
        try:
            value: object = importlib.import_module(".".join(words[:end]))
        except ModuleNotFoundError:
            continue
        for word in words[end:]:
            value = getattr(value, word)
        return value
    raise LookupError(name)


@pytest.mark.parametrize("name", list(names()))
def test_each_name_can_be_opened(name: str) -> None:
    assert callable(found(name))


def test_no_room_is_entered_more_than_twice_and_the_walk_ends_where_it_began() -> None:
    rooms = [room for room, _ in walk()]

    assert len(rooms) > 12
    assert max(Counter(rooms).values()) == 2
    assert (rooms[0], rooms[-1]) == ("cli", "cli")
    assert all((PROJECT / "runner" / room).is_dir() for room in rooms)
