"""``FAULTS=``: what is to go wrong in a rehearsal, some of it in the clouds, some of it to the runner itself."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Any

from runner.errors import UsageError

STEPS = ("provision", "configure", "stage", "train", "collect", "destroy")
AT_LAUNCH = ("kill_runner@before_create", "kill_runner@after_create")
"""Ends of the runner that the emulated cloud itself brings about, at the moment it is asked for a machine."""
RUNNER_ACTIONS = {
    "kill_runner": (signal.SIGKILL,),
    "ctrl_c": (signal.SIGINT,),
    "ctrl_c_twice": (signal.SIGINT, signal.SIGINT),
    "sigterm": (signal.SIGTERM,),
    "sighup": (signal.SIGHUP,),
}


@dataclass(frozen=True)
class CloudFault:
    """A fault of an emulated cloud, as its control API takes it."""

    name: str
    count: int | None = None
    args: dict[str, Any] = field(default_factory=dict)

    def to_mapping(self) -> dict[str, Any]:
        """Return the body of ``POST /faults``."""
        return {"name": self.name, "count": self.count, "args": self.args}


@dataclass(frozen=True)
class RunnerFault:
    """Signals to the runner while a step goes on.

    Attributes:
        name: As it was asked for.
        step: The step.
        signals: What is sent, one after the other; ``SIGKILL`` goes to everything that the runner has started, too.
    """

    name: str
    step: str
    signals: tuple[signal.Signals, ...]


def parse_faults(text: str) -> tuple[list[CloudFault], list[RunnerFault]]:
    """Return the faults that ``FAULTS=`` asks for, in order.

    Args:
        text: Separated by commas: ``name``, ``name:count``, ``name:key=value;key=value`` or ``action@step``.

    Raises:
        UsageError: If one is not of this form, or there is no such action or step. Whether the cloud knows a name
            is reported by its emulator.
    """
    clouds: list[CloudFault] = []
    runner: list[RunnerFault] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        action, at, step = word.partition("@")
        if not at or word in AT_LAUNCH:
            clouds.append(_cloud_fault(word))
        elif action not in RUNNER_ACTIONS or step not in STEPS:
            known = ", ".join((*(f"{name}@<step>" for name in RUNNER_ACTIONS), *AT_LAUNCH))
            raise UsageError(
                f"rehearse: there is no fault {word}", resolution=f"known: {known}; steps: {', '.join(STEPS)}"
            )
        else:
            runner.append(RunnerFault(word, step, RUNNER_ACTIONS[action]))
    return clouds, runner


def _cloud_fault(word: str) -> CloudFault:
    name, *parts = word.split(":")
    count, args = None, {}
    for part in parts:
        if part.isdigit():
            count = int(part)
            continue
        for pair in part.split(";"):
            key, equals, value = pair.partition("=")
            if not equals:
                raise UsageError(
                    f"rehearse: {pair!r} in {word} is neither a count nor key=value",
                    resolution="write it like FAULTS=no_capacity:2 or FAULTS=no_capacity:candidates=all",
                )
            args[key] = _value(value)
    return CloudFault(name, count, args)


def _value(text: str) -> str | float | bool:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text
