"""Text for a terminal: lines of at most 100 columns."""

from __future__ import annotations

import textwrap

WIDTH = 100
MARGIN = " " * 13
"""What stands before what goes on under a line's name."""


def wrapped(text: str, *, first: str = "", rest: str = MARGIN) -> list[str]:
    """Return a text in lines of at most ``WIDTH`` columns; nothing for an empty one.

    Args:
        text: What is to be said. Whole words only: a path that is cut in two cannot be copied, unless it is too long.
        first: What the first line begins with.
        rest: What all others begin with.
    """
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
