"""The journal: what the runner is about to create stands on disk before it is asked for."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from runner.run.run_dir import RunDir
from trainer.files import object_or_none

JOURNAL_NAME = "journal.jsonl"
KINDS = ("intent", "answer")
LOST = "lost"
"""Action of a line that says that earlier lines are gone, with all that they said."""
CHECKSUM = "crc32"
"""Key of a line's checksum: the CRC-32 of the line as it is without it. Lines of older versions have none."""
KEPT_JOURNALS = 64
KEPT_LINES = 4096
"""Lines whose content is kept: those of some weeks."""
CLOCK = "clock"
"""Key of what a line knows of the computer that wrote it besides the time of day, which may be set: ``boot`` says which
start of which computer it was (empty: unknown), ``up_s`` how many seconds it had counted, sleep included."""


class Journal:
    """An append-only file of intents and answers, each line synced before the call returns."""

    def __init__(self, run: RunDir) -> None:
        """Use the run's journal; it is made with the first line."""
        self._world, self._file = run.world, run.file(JOURNAL_NAME)

    def intent(self, action: str, **facts: Any) -> None:
        """Write what is about to be done."""
        self._append("intent", action, facts)

    def answer(self, action: str, **facts: Any) -> None:
        """Write what came of it."""
        self._append("answer", action, facts)

    def entries(self) -> list[dict[str, Any]]:
        """Return all lines that are as they were written, oldest first."""
        return entries_in(self.content())

    def content(self) -> bytes:
        """Return the file as it is, empty where it is missing."""
        return self._file.read_or_nothing()

    def line_of_now(self, kind: str = "answer", action: str = "now") -> dict[str, Any]:
        """Return a line as it would be written now, without facts."""
        clock = {"boot": self._world.boot_id, "up_s": round(self._world.boottime_s(), 1)}
        return {
            "time": self._world.now().isoformat(timespec="milliseconds"),
            "kind": kind,
            "action": action,
            CLOCK: clock,
        }

    @property
    def is_damaged(self) -> bool:
        """Whether a line is not as it was written, or is gone: it may have been anything."""
        return any(entry is None or entry["action"] == LOST for entry in self._lines())

    def unanswered(self, action: str) -> bool:
        """Return whether the last word on ``action`` is, or may be, an intent: it may or may not have happened.

        A damaged line may have been an intent of anything: after it, only an answer that is whole says otherwise.
        """
        kinds = [
            "intent" if entry is None else entry["kind"]
            for entry in self._lines()
            if entry is None or entry["action"] == action
        ]
        return bool(kinds) and kinds[-1] == "intent"

    def _lines(self) -> Sequence[dict[str, Any] | None]:
        """Return every line, ``None`` for a damaged one; the last counts also where its end is missing."""
        return _lines_in(self.content())

    def _append(self, kind: str, action: str, facts: dict[str, Any]) -> None:
        """Write a line; in a file without any, which is made with its first, that the lines before are lost."""
        whole, before = _whole(self.line_of_now(kind, action) | facts), self._file.read_or_nothing()
        if action != LOST and not before and self._file.exists():
            self.answer(LOST)
        ends_whole = before[-1:] in (b"", b"\n")
        self._file.append((b"" if ends_whole else b"\n") + whole + b"\n", synced=True)


def entries_in(content: bytes) -> list[dict[str, Any]]:
    """Return all lines of a journal's content that are as they were written, oldest first."""
    return [dict(entry) for entry in _lines_in(content) if entry is not None]


@lru_cache(maxsize=KEPT_JOURNALS)
def _lines_in(content: bytes) -> Sequence[dict[str, Any] | None]:
    """Return every line, ``None`` for a damaged one; not to be changed, for each word about money asks again."""
    return tuple(_read_line(line) for line in content.split(b"\n") if line)


@lru_cache(maxsize=KEPT_LINES)
def _read_line(line: bytes) -> dict[str, Any] | None:
    """Return what a line says, or ``None`` where it is not as it was written, or not one of ours.

    A line says the same whenever it is read, and each word about money reads them all.
    """
    entry = object_or_none(line)
    if entry is None:
        return None
    if entry.pop(CHECKSUM, None) is not None and _whole(entry) != line:
        return None  # blanks count as well: of two lines they can make one that is whole
    is_ours = entry.get("kind") in KINDS and isinstance(entry.get("action"), str) and _is_moment(entry.get("time"))
    return entry if is_ours else None


def _whole(entry: dict[str, Any]) -> bytes:
    """Return a line as it is written: with its checksum behind."""
    return json.dumps(entry | {CHECKSUM: f"{zlib.crc32(json.dumps(entry).encode()):08x}"}).encode()


def _is_moment(value: object) -> bool:
    """Return whether a value is a time with its offset from UTC, as every line has one."""
    try:
        return datetime.fromisoformat(str(value)).tzinfo is not None
    except ValueError:
        return False
