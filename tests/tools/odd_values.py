"""JSON as nobody should write it: the values that parsers stumble over, and any others."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

EDGES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    10**400,
    -(10**400),
    1e308,
    float("inf"),
    float("nan"),
    "",
    "0",
    "null",
    "\ud800",
    "a\0b",
    "\x1b[2J",
    "n" * 300,
    "../..",
    "0001-01-01T00:00:00+00:00",
    "9999-12-31T23:59:59-23:59",
    "2026-02-30T00:00:00Z",
    [],
    {},
    [[[[[[[[]]]]]]]],
    {"": {"": None}},
)
"""Each has broken a parser somewhere: numbers that no float holds, half characters, the ends of the calendar."""
edges = st.sampled_from(EDGES)
moments = st.sampled_from([value for value in EDGES if isinstance(value, str) and ":" in value])
"""Texts that look like a moment, at the ends of the calendar and beyond."""
texts = st.text(max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | edges
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
"""Any JSON value, the odd ones among them often."""


def changed(whole: Any) -> st.SearchStrategy[Any]:
    """Return the strategy of a value that is as given but for one place, which is missing or holds anything."""
    places = list(_places(whole, ()))
    return st.tuples(st.sampled_from(places), edges | values | st.just(MISSING)).map(lambda made: _with(whole, *made))


MISSING = object()


def _places(value: Any, path: tuple[Any, ...]) -> Any:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, (*path, index))


def _with(whole: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return None if new is MISSING else new
    first, *rest = path
    inner = _with(whole[first], tuple(rest), new) if rest else new
    if isinstance(whole, list):
        return [one for index, old in enumerate(whole) if (one := inner if index == first else old) is not MISSING]
    return {key: one for key, old in whole.items() if (one := inner if key == first else old) is not MISSING}
