"""What of a run is done, and who drives it now."""

from __future__ import annotations

import copy
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from runner.errors import RunLockedError
from runner.run.run_dir import RunDir, read_json, write_json

STATE_NAME = "state.json"
STEPS = ("plan", "provision", "configure", "stage", "train", "collect", "destroy", "report")


class RunState:
    """``state.json``: the steps that are done, with times, and how the run ended."""

    def __init__(self, run: RunDir) -> None:
        """Read the state of a run; a run without one has done nothing."""
        self._path = run.file(STATE_NAME)
        self._data: dict[str, Any] = read_json(self._path) or {"format": 1, "steps": {}, "outcome": None}

    @property
    def outcome(self) -> str | None:
        """How the run ended: ``done``, ``failed``, ``interrupted``, or ``None`` while it has not."""
        value = self._data["outcome"]
        return None if value is None else str(value)

    @property
    def message(self) -> str | None:
        """The error the run ended with."""
        value = self._data.get("message")
        return None if value is None else str(value)

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        """Each step that has begun: ``status``, ``started_at``, ``ended_at``, ``duration_s``."""
        return dict(self._data["steps"])

    @property
    def current_step(self) -> str | None:
        """The step that has begun and not ended."""
        begun = [name for name in STEPS if self.steps.get(name, {}).get("status") == "running"]
        return begun[-1] if begun else None

    def is_done(self, step: str) -> bool:
        """Tell whether a step has ended well."""
        return bool(self.steps.get(step, {}).get("status") == "done")

    def begin(self, step: str, began: datetime | None = None) -> None:
        """Note that a step begins now, or began before there was a folder to note it in."""
        with self._changed() as data:
            data["steps"][step] = {"status": "running", "started_at": _written(began or datetime.now(UTC))}

    def end(self, step: str, status: str, duration_s: float) -> None:
        """Note that a step has ended: ``done``, ``failed`` or ``interrupted``."""
        ended = {"status": status, "ended_at": _written(datetime.now(UTC)), "duration_s": round(duration_s, 3)}
        with self._changed() as data:
            data["steps"].setdefault(step, {}).update(ended)

    def forget(self, *steps: str) -> None:
        """Take steps back: they have to be done again."""
        with self._changed() as data:
            for step in steps:
                data["steps"].pop(step, None)
            data["outcome"] = None
            data.pop("message", None)

    def finish(self, outcome: str, message: str | None = None) -> None:
        """Note how the run ended."""
        with self._changed() as data:
            data |= {"outcome": outcome, "message": message}

    @contextmanager
    def _changed(self) -> Iterator[dict[str, Any]]:
        """Write down what is changed; a disk that is full leaves what is known here as it is there."""
        data = copy.deepcopy(self._data)
        yield data
        write_json(self._path, data)
        self._data = data


@contextmanager
def locked(run: RunDir) -> Iterator[None]:
    """Hold the run's lock: one runner drives a run at a time. A dead runner's lock is free.

    Raises:
        RunLockedError: If another runner holds it.
    """
    with run.file("lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            pid = holder(run)
            raise RunLockedError(
                f"run: {run.run_id} is driven by another runner (pid {pid})",
                resolution=f"look on with `make watch RUN={run.run_id}`, or end it with `make down RUN={run.run_id}`",
            ) from err
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid()}))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def holder(run: RunDir) -> int | None:
    """Return the process id of the runner that drives the run now, or ``None``."""
    try:
        file = run.file("lock").open("r")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                return int(json.loads(file.read())["pid"])
            except (ValueError, KeyError):
                return 0  # held by somebody who has not signed yet
        return None


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
