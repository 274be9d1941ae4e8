"""When a fault of the runner happens: which step of its run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runner.rehearsal.home import read_leniently
from runner.rehearsal.store import has_checkpoint
from runner.run.run_dir import RunDir
from trainer.events import parse_events

PARTS = {"boot": "provision", "store": "train"}
"""Moments that are part of a step."""
BEGIN_WITH = {"train": "step", "store": "checkpoint_stored"}
"""The event with which a moment begins."""


def goes_on(run: RunDir, step: str, bills: Callable[[], bool], folder: Path) -> bool:
    """Return whether a step of a run goes on.

    Args:
        run: The run.
        step: One of ``faults.STEPS``: ``boot`` is part of ``provision``, ``train`` begins with the first step trained,
            ``store`` with the first checkpoint in the store.
        bills: Returns whether a machine bills.
        folder: That of the rehearsal: what has come to a remote from here is seen there, what the machine brings to a
            store by its events.
    """
    state = read_leniently(run.path / "state.json")
    wanted = PARTS.get(step, step)
    if state.get("steps", {}).get(wanted, {}).get("status") != "running":
        return False
    if step == "boot":
        return bills()
    if step not in BEGIN_WITH or (step == "store" and has_checkpoint(folder, run.run_id)):
        return True
    return any(event.get("event") == BEGIN_WITH[step] for event in parse_events(run.events.read_or_nothing()))
