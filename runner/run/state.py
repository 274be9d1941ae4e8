"""What of a run is done, and who drives it now."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

from runner.errors import RunLockedError
from runner.run.run_dir import RunDir, damaged, read_json, write_json
from runner.world import LockedError

STATE_NAME = "state.json"
LOCK_NAME = "lock"
STEPS = ("plan", "provision", "configure", "stage", "train", "collect", "destroy", "report")


class RunState:
    """``state.json``: the steps that are done, with times, and how the run ended."""

    def __init__(self, run: RunDir) -> None:
        """Read the state of a run; a run without one has done nothing.

        Raises:
            RunNotFoundError: If it is damaged.
        """
        self._run, self._path = run, run.file(STATE_NAME)
        self._data: dict[str, Any] = read_json(self._path) or {"format": 1, "steps": {}, "outcome": None}
        steps = self._data.get("steps")
        if not isinstance(steps, dict) or not all(isinstance(one, dict) for one in steps.values()):
            raise damaged(self._path, "its steps are none")

    @property
    def outcome(self) -> str | None:
        """How the run ended: ``done``, ``failed``, ``interrupted``, or ``None`` while it has not."""
        value = self._data.get("outcome")
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
        """Return whether a step has ended well."""
        return bool(self.steps.get(step, {}).get("status") == "done")

    def begin(self, step: str, began: datetime | None = None) -> None:
        """Note that a step begins now, or began before there was a folder to note it in.

        What came home before training went on is not what it makes now.
        """
        with self._changed() as data:
            if step == "train":
                data["steps"].pop("collect", None)
            data["steps"][step] = {"status": "running", "started_at": _written(began or self._run.world.now())}

    def end(self, step: str, status: str, duration_s: float) -> None:
        """Note that a step has ended: ``done``, ``failed`` or ``interrupted``."""
        ended = {"status": status, "ended_at": _written(self._run.world.now()), "duration_s": round(duration_s, 3)}
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
        data = {**self._data, "steps": {name: dict(step) for name, step in self._data["steps"].items()}}
        yield data
        write_json(self._path, data)
        self._data = data


@contextmanager
def locked(run: RunDir) -> Iterator[None]:
    """Hold the run's lock: one runner drives a run at a time. A dead runner's lock is free.

    Raises:
        RunLockedError: If another runner holds it.
    """
    with ExitStack() as held:
        try:
            held.enter_context(run.world.disk.lock(run.path / LOCK_NAME))
        except LockedError as err:
            raise RunLockedError(
                f"run: {run.run_id} is driven by another runner (pid {holder(run)})",
                resolution=f"follow it: `make watch RUN={run.run_id}`, or stop it: `make down RUN={run.run_id}`",
            ) from err
        yield


def holder(run: RunDir) -> int | None:
    """Return the id of the process that drives the run now, 0 if it has not signed yet, ``None`` if none does."""
    return run.world.disk.lock_holder(run.path / LOCK_NAME)


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
