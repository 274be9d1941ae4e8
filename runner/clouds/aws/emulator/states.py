"""How an instance of the emulated AWS stands, in EC2's words, and what happens to one that is shut down."""

from __future__ import annotations

import math
from collections.abc import Callable

from runner.emulation.cloud_state import CloudState
from runner.emulation.machines import EmulatedMachine

STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


def state_of(machine: EmulatedMachine, now: float) -> str:
    """Return how an instance stands.

    Args:
        machine: The instance.
        now: Seconds since the epoch.
    """
    if machine.is_ended:
        return "terminated"
    if machine.is_ending:
        return "shutting-down"
    if machine.is_stopped:
        return "stopped"
    return "running" if math.isfinite(machine.active_at) and now >= machine.active_at else "pending"


def after_end(status: str) -> str:
    """Return what an answer to a request to terminate shows."""
    return status if status in ("shutting-down", "terminated") else "shutting-down"


def shut_down(
    state: CloudState, machine: EmulatedMachine, behaviour: str, stop: Callable[[EmulatedMachine], None]
) -> None:
    """Do with an instance that has powered itself off what its setting says: terminate it, or stop it."""
    if behaviour == "terminate":
        state.end(machine, "shut itself down", after_s=0.0)
    else:
        stop(machine)
