"""How far the reading of large data is, in words and as a bar."""

from __future__ import annotations

from typing import TextIO

from trainer.data.collected import LARGE_BYTES

BAR_WIDTH = 30
LINE_EVERY_PERCENT = 10
"""Where the output is no terminal, lines stand one below the other."""


def bar_text(what: str, done: int, total: int) -> str:
    """Return a bar with what goes on.

    Args:
        what: What goes on.
        done: Bytes that are done.
        total: Bytes in all.
    """
    filled = BAR_WIDTH * done // total
    return f"{what} [{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {_percent(done, total):>3} % of {total / 1e6:.0f} MB"


def _percent(done: int, total: int) -> int:
    return 100 * done // total


class Bar:
    """A ``Progress`` that is seen, for large data: a bar that grows in a terminal, a line now and then elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        """Show it on a stream, which is mostly stderr."""
        self._stream, self._shown = stream, ("", -1)

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show how far it is, if that has changed."""
        if total < LARGE_BYTES:
            return
        is_terminal = self._stream.isatty()
        percent = _percent(done, total)
        step = percent if is_terminal else percent - percent % LINE_EVERY_PERCENT
        if self._shown == (what, step):
            return
        self._shown = what, step
        end = "\n" if not is_terminal or percent == 100 else ""
        start = "\r" if is_terminal else ""
        self._stream.write(f"{start}{bar_text(what, done, total)}{end}")
        self._stream.flush()
