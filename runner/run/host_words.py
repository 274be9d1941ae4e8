"""What a machine says is a stranger's word: what of it may become a path here, a line on the screen, a name, a value.

A rented machine, or whoever holds it, chooses its home folder, its file names and the text of its events. Each of them
passes one of these functions before it reaches a template, a shell, a path or a terminal.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from runner.errors import HostWordsError

LONGEST_PATH = 1024
LONGEST_NAME = 255
BESIDE_LETTERS = frozenset(" ._-+@,=")
"""What a path may hold besides letters, marks and digits of any script; all else means something to a shell, to Jinja,
to systemd (``%``) or to a search path (``:``)."""
ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # titles, links, the clipboard
    r"|\x1b[ -/]*[0-~]?"
)
JOINERS = "\u200c\u200d"
"""Marks that some scripts and many emoji are written with; they move nothing."""
NO_LINES = dict.fromkeys(map(ord, "\n\t"))
"""Leaves out what may stay, of which Python says that it cannot be printed."""
DEEPEST = 16
LARGEST = 1e15
"""No number of a run comes near: bytes of a disk, tokens of a lifetime."""
SHOWN = 120


def checked_path(text: str, what: str) -> str:
    """Return a machine's path if it may stand in a template, a command and a setting.

    Args:
        text: The path, as the machine gave it.
        what: What it is the path of, for the message.

    Raises:
        HostWordsError: If it is not absolute, holds ``..``, or a character that is neither a letter, a digit, a space
            nor one of ``._-+@,=``.
    """
    parts = text.split("/")
    is_fine = text.startswith("/") and len(text) <= LONGEST_PATH and ".." not in parts
    if is_fine and all(_is_plain(char) for part in parts for char in part):
        return text
    raise HostWordsError(
        f"machine: the {what} that it gives is no plain absolute path: {one_line(text)[:SHOWN]!r}",
        resolution=f"use another machine, or give it a {what} of letters, digits, spaces and ._-@+,= alone",
    )


def is_plain_name(name: str) -> bool:
    """Return whether a name from a machine's listing names one entry of its folder and nothing else, anywhere."""
    is_short = 0 < len(name.encode("utf-8", "replace")) <= LONGEST_NAME
    return is_short and name not in (".", "..") and not any(char in "/\\" or _is_control(char) for char in name)


def printable(text: str) -> str:
    """Return text without what steers a terminal: escape sequences, control characters, reversed writing.

    Lines and tabs stay; a carriage return, by which one line hides another, becomes a new line.
    """
    if text.translate(NO_LINES).isprintable():
        return text
    text = ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(char for char in text if char in "\n\t" or not _is_control(char))


def one_line(text: str) -> str:
    """Return ``printable`` text in a single line."""
    return " ".join(line.strip() for line in printable(text).split("\n") if line.strip())


def plain_data(value: Any, depth: int = 0) -> Any:
    """Return JSON data of a machine with all its text ``printable``.

    Args:
        value: The data.
        depth: How deep in the whole it stands.

    Raises:
        HostWordsError: If it is nested more than 16 deep, or holds a number that is not finite or beyond 1e15.
    """
    if depth > DEEPEST:
        raise _absurd("data nested too deeply")
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and not is_sane_number(value):
        raise _absurd("a number that cannot be")
    if isinstance(value, dict):
        return {printable(key): plain_data(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_data(item, depth + 1) for item in value]
    return value


def is_sane_number(value: float) -> bool:
    """Return whether a number is finite and no larger than any quantity of a run."""
    return abs(value) <= LARGEST  # false for NaN as well


def _is_plain(char: str) -> bool:
    return char in BESIDE_LETTERS or unicodedata.category(char)[0] in "LMN"


def _is_control(char: str) -> bool:
    """Return whether a character is a control, a format mark (reversed writing), half a character or a line end."""
    return char not in JOINERS and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _absurd(what: str) -> HostWordsError:
    return HostWordsError(
        f"machine: it sent {what}", resolution="see its own log with `make logs`; use another machine if it goes on"
    )
