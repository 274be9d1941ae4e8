"""Faults of a machine that come once its training has reached a step, where the clouds' own come so long after boot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runner.errors import UsageError
from runner.rehearsal.emulators import Emulators
from runner.run.run_dir import RunDir
from trainer.events import parse_events

SUFFIX = "@step"


@dataclass(frozen=True)
class AtStep:
    """What happens to the machine.

    Attributes:
        fault: The fault in the catalogue that does the same, so long after boot.
        action: Name of it in the control API.
        does: In words.
        arguments: What can be set beside ``step``, with the default.
    """

    fault: str
    action: str
    does: str
    arguments: Mapping[str, float] = field(default_factory=dict)


AT_STEP: Mapping[str, AtStep] = {
    f"{one.fault}{SUFFIX}": one
    for one in (
        AtStep(
            "spot_notice",
            "preempt",
            "the cloud reclaims the machine, with `notice_s` of notice (0: none)",
            {"notice_s": 0.0},
        ),
        AtStep("box_killed", "kill", "the machine vanishes, and keeps billing"),
        AtStep("box_stopped_outside", "stop", "someone stops the machine in the console"),
        AtStep("box_deleted_in_console", "delete", "someone terminates the machine in the console"),
    )
}


def arguments(action: str, given: Mapping[str, Any], word: str) -> dict[str, Any]:
    """Return the arguments of such a fault.

    Args:
        action: Its name.
        given: What was written.
        word: All that was written, for the message.

    Raises:
        UsageError: If there is no step, or something else.
    """
    known: dict[str, Any] = {"step": None, **AT_STEP[action].arguments}
    found = {**known, **given}
    if set(found) != set(known) or not all(_is_number(value) and value >= 0 for value in found.values()):
        raise UsageError(
            f"rehearse: {word} names no step of the training", resolution=f"write it like FAULTS={action}:step=40"
        )
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def befall(
    action: str,
    args: Mapping[str, Any],
    run: RunDir,
    emulators: Emulators,
    machines: Sequence[Mapping[str, Any]],
) -> bool:
    """Let it happen to the machine that trains, if training has got there; return whether it did.

    Args:
        action: A name in ``AT_STEP``.
        args: Its arguments.
        run: The run.
        emulators: The emulated clouds.
        machines: The run's machines, as the control API has them.
    """
    machine = _training_machine(machines, run, args["step"])
    if machine is None:
        return False
    if args.get("notice_s"):
        emulators.send(f"/machines/{machine}/notice", {"preempt_after_s": args["notice_s"]})
    else:
        emulators.send(f"/machines/{machine}/{AT_STEP[action].action}", {})
    return True


def _training_machine(machines: Sequence[Mapping[str, Any]], run: RunDir, step: float) -> str | None:
    """Return the machine on which the latest start of the trainer has reached a step, ``None`` before.

    A machine that came later boots yet: by then the events still end with what the one before it trained.
    """
    started, steps = None, list[int]()
    for event in parse_events(run.events.read_or_nothing()):
        if event.get("event") == "run_started":
            started, steps = datetime.fromisoformat(str(event["time"])).timestamp(), []
        elif event.get("event") == "step":
            steps.append(int(event["step"]))
    if started is None or max(steps, default=0) < step:
        return None
    living = (row for row in machines if row["is_billing"] and not row["is_box_dead"])
    return next((str(row["id"]) for row in living if row["started_at"] <= started), None)
