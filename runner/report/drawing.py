"""A figure for plotly.js as the data that it is: the few words of Plotly's own library that pages use.

That library checks each word against a table of all there are, which takes 27 MiB of the process that waits for a
machine; the tests check what is drawn by it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

WHOLE_HEIGHT = {"xref": "x", "yref": "y domain", "y0": 0, "y1": 1}


class Figure:
    """Traces and a layout, named as plotly.js names them."""

    def __init__(self, layout: Mapping[str, Any]) -> None:
        """Begin with a layout and nothing drawn."""
        self._traces: list[dict[str, Any]] = []
        self.layout: dict[str, Any] = _merged({}, layout)

    def add_bar(self, **words: Any) -> None:
        """Draw bars."""
        self._traces.append({"type": "bar", **words})

    def add_scatter(self, **words: Any) -> None:
        """Draw a line, points or an area."""
        self._traces.append({"type": "scatter", **words})

    def add_vline(self, *, x: float, **words: Any) -> None:
        """Draw a line over the whole height."""
        self._add("shapes", {"type": "line", "x0": x, "x1": x, **WHOLE_HEIGHT, **words})

    def add_vrect(self, *, x0: float, x1: float, **words: Any) -> None:
        """Draw a rectangle over the whole height."""
        self._add("shapes", {"type": "rect", "x0": x0, "x1": x1, **WHOLE_HEIGHT, **words})

    def add_annotation(self, **words: Any) -> None:
        """Write words into the figure."""
        self._add("annotations", words)

    def update_layout(self, **words: Any) -> None:
        """Set what is said of the layout, and leave the rest of it."""
        self.layout = _merged(self.layout, words)

    def update_xaxes(self, **words: Any) -> None:
        """Set what is said of the horizontal axis, and leave the rest of it."""
        self.update_layout(xaxis=words)

    def update_yaxes(self, **words: Any) -> None:
        """Set what is said of the vertical axis, and leave the rest of it."""
        self.update_layout(yaxis=words)

    def to_json(self) -> str:
        """Return it for ``Plotly.newPlot``."""
        return json.dumps(_plain({"data": self._traces, "layout": self.layout}), separators=(",", ":"), allow_nan=False)

    def _add(self, kind: str, words: Mapping[str, Any]) -> None:
        self.layout[kind] = [*self.layout.get(kind, []), dict(words)]


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return both; of what is in both the new, and of mappings what either says."""
    found = dict(old)
    for name, value in new.items():
        before = found.get(name)
        if isinstance(value, Mapping):
            found[name] = _merged(before if isinstance(before, Mapping) else {}, value)
        else:
            found[name] = value
    return found


def _plain(value: Any) -> Any:
    """Return a value without the words that say nothing; a number that is not finite is none in JSON."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
