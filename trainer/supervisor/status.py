"""How a training run stands on this machine, by the files of its output folder and the processes they name."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from trainer.checkpoints.complete import list_finished
from trainer.events import OF_OUTBOX, last_step, read_events
from trainer.files import read_json

State = Literal["none", "running", "exited", "lost"]


@dataclass(frozen=True)
class Status:
    """How a training run stands on this machine.

    Attributes:
        state: ``none`` was never started, ``running``, ``exited`` by itself or on request, ``lost`` when its
            processes are gone without a word (killed, or the machine went down).
        exit_code: Exit status of the trainer, once it has one; 128 + the signal's number if a signal ended it.
        step: Last optimizer step in the event file.
        checkpoint: Step of the newest checkpoint with a manifest.
    """

    state: State
    exit_code: int | None
    step: int | None
    checkpoint: int | None

    def to_json(self) -> str:
        """Return one JSON line."""
        return json.dumps(asdict(self))


def read_status(output: Path) -> Status:
    """Return how the run in ``output`` stands; see ``Status``."""
    events = read_events(output / "events.jsonl")
    saved = list_finished(output / "checkpoints")
    newest = int(saved[0].name.removeprefix("checkpoint-")) if saved else None
    state, code = _read_state(output, events)
    return Status(state, code, last_step(events), newest)


def _read_state(output: Path, events: list[dict[str, Any]]) -> tuple[State, int | None]:
    ended = read_json(output / "exit.json")
    if ended is not None:
        return "exited", int(ended["exit_code"])
    who = read_json(output / "supervisor.json")
    if who is None:
        return "none", None
    if is_alive(who["trainer_pid"], who["trainer_started"]):
        return "running", None
    if is_alive(who["supervisor_pid"], who["supervisor_started"]):
        return "running", None  # the trainer has just ended; the supervisor is about to write how
    last: dict[str, Any] = next((event for event in reversed(events) if event["event"] not in OF_OUTBOX), {})
    if last.get("event") == "run_ended" and str(last["time"]) > str(who["started_at"]):
        return "exited", int(last["exit_code"])  # the supervisor was killed, the trainer came to its end
    return "lost", None


def is_alive(pid: int, started: float) -> bool:
    """Return whether that very process lives: the same number may belong to another one by now."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def signal_process(pid: int, started: float, number: signal.Signals) -> None:
    """Send a signal to that very process; one that is gone gets none."""
    if is_alive(pid, started):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
