"""When a fault of the runner happens: which step of its run goes on."""

from __future__ import annotations

from collections.abc import Callable

from runner.rehearsal.home import read_leniently
from runner.run.run_dir import RunDir
from trainer.events import parse_events

PARTS = {"boot": "provision", "store": "train"}
"""Moments that are part of a step."""
BEGIN_WITH = {"train": "step", "store": "checkpoint_stored"}
"""The event with which a moment begins."""


def goes_on(run: RunDir, step: str, bills: Callable[[], bool]) -> bool:
    """Return whether a step of a run goes on.

    Args:
        run: The run.
        step: One of ``faults.STEPS``: ``boot`` is part of ``provision``, ``train`` begins with the first step trained,
            ``store`` with the first checkpoint that the machine has brought to the store.
        bills: Returns whether a machine bills.
    """
    state = read_leniently(run.path / "state.json")
    wanted = PARTS.get(step, step)
    if state.get("steps", {}).get(wanted, {}).get("status") != "running":
        return False
    if step == "boot":
        return bills()
    if step not in BEGIN_WITH:
        return True
    return any(event.get("event") == BEGIN_WITH[step] for event in parse_events(run.events.read_or_nothing()))
