"""Read YAML (or JSON) text without ever failing otherwise than with ``yaml.YAMLError``, whatever the text holds."""

from __future__ import annotations

from typing import Any

import yaml

MOST_NODES = 100_000
"""Keys and values that a file may have with each ``*alias`` replaced by what it names; a run file has some hundred."""
UNREADABLE_VALUES = (ValueError, OverflowError, IndexError, AttributeError, KeyError, TypeError)
"""What PyYAML raises for a value that it takes for a number, a date or a truth value, and cannot make into one."""


class TextError(yaml.MarkedYAMLError):
    """The text is YAML by its grammar, but nothing that can be used."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which says where a value stands that it cannot make."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the plain data of a node."""
        try:
            return super().construct_object(node, deep=deep)
        except UNREADABLE_VALUES as err:
            raise TextError(problem=f"this value cannot be read: {err}", problem_mark=node.start_mark) from err


def parse_yaml(text: str) -> tuple[yaml.Node | None, Any]:
    """Return the tree of a text, with the line of each key, and its plain data.

    Raises:
        yaml.YAMLError: If the text cannot be read. Its ``problem_mark`` says where, if that is known.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, None
        _expanded_size(node, {})
        return node, loader.construct_document(node)
    except RecursionError as err:
        raise TextError(problem="it is nested too deeply, or an alias stands inside of what it names") from err


def _expanded_size(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many nodes a tree has with its aliases replaced: a few lines can stand for billions of them.

    An alias inside of what it names has no end, and raises ``RecursionError``.
    """
    if id(node) in known:
        return known[id(node)]
    if isinstance(node, yaml.ScalarNode):
        return 1
    parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    size = 1 + sum(_expanded_size(part, known) for part in parts)
    if size > MOST_NODES:
        raise TextError(
            problem=f"with its aliases replaced it has more than {MOST_NODES:,} keys and values",
            problem_mark=node.start_mark,
        )
    known[id(node)] = size
    return size
