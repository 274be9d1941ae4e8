"""What is said once in the life of a run, whoever drives it: ``said_once.json`` has the moments."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from runner.run.run_dir import RunDir, write_json
from trainer.files import object_or_none

NAME = "said_once.json"
BY_GUARD = " by the guard"


def is_first_time(run: RunDir, what: str) -> bool:
    """Return whether this has not been said of a run before, and note that it is said now.

    A disk that is full hides nothing: it is said again by the next runner then.
    """
    said = _said(run)
    if what in said:
        return False
    with suppress(OSError):
        _note(run, said, what)
    return True


def note_said_by_guard(run: RunDir, event: str) -> None:
    """Note that the guard has sent a notice, while the run's folder exists: whoever clears up after it need not."""
    with suppress(OSError):
        if run.world.disk.is_dir(run.path):
            _note(run, _said(run), event + BY_GUARD)


def was_said_by_guard(run: RunDir, event: str) -> bool:
    """Return whether the guard has sent a notice of this event since somebody last went on with the run."""
    return event + BY_GUARD in _said(run)


def forget_guard(run: RunDir) -> None:
    """Forget what a guard has said: somebody goes on with the run, and its next end is another one."""
    said = _said(run)
    kept = {what: moment for what, moment in said.items() if not what.endswith(BY_GUARD)}
    if kept != said:
        with suppress(OSError):
            write_json(run.file(NAME), kept)


def _said(run: RunDir) -> dict[str, Any]:
    """Return what has been said of a run, each with its moment; nothing of a file that is damaged or not there."""
    return object_or_none(run.file(NAME).read_or_nothing()) or {}


def _note(run: RunDir, said: Mapping[str, Any], what: str) -> None:
    write_json(run.file(NAME), {**said, what: run.world.now().isoformat(timespec="seconds")})
