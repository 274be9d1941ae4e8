"""The journal: what the runner is about to create stands on disk before it is asked for."""

from __future__ import annotations

import json
from typing import Any

from runner.run.run_dir import RunDir
from trainer.files import object_or_none

JOURNAL_NAME = "journal.jsonl"


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
        """Return all whole lines, oldest first."""
        if not self._file.exists():
            return []
        lines = self._file.read_bytes().split(b"\n")[:-1]
        return [entry for entry in map(object_or_none, lines) if entry is not None]

    def unanswered(self, action: str) -> bool:
        """Return whether the last word on ``action`` is an intent: it may or may not have happened."""
        kinds = [entry["kind"] for entry in self.entries() if entry["action"] == action]
        return bool(kinds) and kinds[-1] == "intent"

    def _append(self, kind: str, action: str, facts: dict[str, Any]) -> None:
        line = {"time": self._world.now().isoformat(timespec="milliseconds"), "kind": kind, "action": action, **facts}
        ends_whole = not self._file.exists() or self._file.read_bytes()[-1:] in (b"", b"\n")
        self._file.append((b"" if ends_whole else b"\n") + json.dumps(line).encode() + b"\n", synced=True)
