"""When a fault of the runner happens: which step of its run goes on."""

from __future__ import annotations

from collections.abc import Callable

from runner.rehearsal.home import read_leniently
from runner.run.run_dir import RunDir
from trainer.events import parse_events


def goes_on(run: RunDir, step: str, bills: Callable[[], bool]) -> bool:
    """Return whether a step of a run goes on.

    Args:
        run: The run.
        step: One of ``faults.STEPS``: ``boot`` is part of ``provision``, ``train`` begins with the first step trained.
        bills: Returns whether a machine bills.
    """
    state = read_leniently(run.path / "state.json")
    wanted = "provision" if step == "boot" else step
    if state.get("steps", {}).get(wanted, {}).get("status") != "running":
        return False
    if step == "boot":
        return bills()
    if step != "train":
        return True
    return any(event.get("event") == "step" for event in parse_events(run.events.read_or_nothing()))
