"""The trainer's supervisor on a machine: what it is asked, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from runner.adapters.machine import Machine
from runner.adapters.process import Cancel
from runner.errors import TrainingFailedError
from runner.run.models import Box, TrainerState, TrainerStatus
from trainer.files import parse_object

OWN_MODULES = {"PYTHONSAFEPATH": "1", "PYTHONPATH": "", "PYTHONNOUSERSITE": "1"}
"""The trainer that was installed is the one that runs, not a checkout it happens to be started from."""


def read_status(machine: Machine, box: Box, *, cancel: Cancel | None = None) -> TrainerStatus:
    """Ask the supervisor how training stands; a machine without an environment has no trainer."""
    return ask_supervisor(machine, box, ["status"], timeout_s=60.0, cancel=cancel)


def ask_supervisor(
    machine: Machine, box: Box, words: Sequence[str], *, timeout_s: float, cancel: Cancel | None
) -> TrainerStatus:
    """Run the supervisor with some words and return its answer; a machine without an environment has no trainer.

    Raises:
        TrainingFailedError: If it gives no answer, or one that is none of a supervisor's.
        ConnectionLostError: If the machine cannot be reached.
        ToolCancelledError: If ``cancel`` said yes.
    """
    if not machine.exists(box.python):
        return TrainerStatus("none")
    argv = [box.python, "-m", "trainer", "supervise", *words, "--output", box.output]
    done = machine.run(argv, timeout_s=timeout_s, env=OWN_MODULES, cancel=cancel)
    lines = done.stdout.strip().split("\n")
    try:
        return _status(parse_object(lines[-1]))
    except ValueError as err:
        raise TrainingFailedError(
            f"train: the supervisor on {machine.name} gave no answer (exit status {done.exit_code})",
            details=done.last_words,
            resolution="see what it says there; `make configure` installs it again",
        ) from err


def _status(answer: dict[str, Any]) -> TrainerStatus:
    """Return a supervisor's answer.

    Raises:
        ValueError: If its values are not those of a supervisor.
    """
    state: Any = answer.get("state")
    numbers = [answer.get(name) for name in ("exit_code", "step", "checkpoint")]
    if state not in get_args(TrainerState) or not all(type(number) in (int, type(None)) for number in numbers):
        raise ValueError("its values are not those of a supervisor")
    return TrainerStatus(state, *numbers)
