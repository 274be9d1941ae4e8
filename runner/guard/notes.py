"""What a guard leaves to read: a line of its log for each finding, and the last finding, while the run's folder exists.

A folder that is gone is not made again, and a disk that is full ends no guard.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from runner.errors import RunnerError
from runner.run.host_words import one_line
from runner.run.run_dir import RunDir, read_json
from runner.world import World

FINDING_NAME = "guard.json"
LOG_NAME = "guard.log"


class Notes:
    """The notes of one guard."""

    def __init__(self, folder: Path, world: World) -> None:
        """Take the run's folder."""
        self._folder, self._world = folder, world
        self._last = ""

    def say(self, text: str) -> None:
        """Note a finding; the same one again is no news."""
        said = one_line(text)
        if said == self._last:
            return
        self._last = said
        at = self._world.now().isoformat(timespec="seconds")
        with contextlib.suppress(OSError):
            self._world.disk.append(self._folder / "logs" / LOG_NAME, f"{at} {said}\n".encode())
        finding = {"pid": self._world.process_id, "at": at, "said": said}
        with contextlib.suppress(OSError):
            if self._world.disk.is_dir(self._folder):
                self._world.disk.write(self._folder / FINDING_NAME, json.dumps(finding).encode() + b"\n")


def last_finding(run: RunDir) -> str | None:
    """Return when the last guard of a run found what, or ``None`` where there is nothing to read."""
    try:
        found: dict[str, Any] | None = read_json(run.file(FINDING_NAME))
        return None if found is None else f"{found['at']} {found['said']}"
    except (RunnerError, OSError, TypeError, KeyError):
        return None  # it is a note, and nothing depends on it
