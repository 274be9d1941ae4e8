"""What is said once in the life of a run, whoever drives it: ``said_once.json`` has the moments."""

from __future__ import annotations

from contextlib import suppress

from runner.run.run_dir import RunDir, write_json
from trainer.files import object_or_none

NAME = "said_once.json"


def is_first_time(run: RunDir, what: str) -> bool:
    """Return whether this has not been said of a run before, and note that it is said now.

    A disk that is full hides nothing: it is said again by the next runner then.
    """
    file = run.file(NAME)
    said = object_or_none(file.read_or_nothing()) or {}
    if what in said:
        return False
    with suppress(OSError):
        write_json(file, said | {what: run.world.now().isoformat(timespec="seconds")})
    return True
