"""What is looked at besides the clouds' books: leases on machines, trainers, what came home, what stays of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from runner.simulation.life import Life
from runner.simulation.stage import Stage
from runner.simulation.trainer import EPOCH
from trainer.errors import EXIT_INTERRUPTED
from trainer.export.checksums import checksum_problems


def look_closer(stage: Stage, life: Life, runs: Sequence[Path]) -> None:
    """Note what a life's end shows besides what bills.

    Args:
        stage: Where it was played.
        life: Where it is noted.
        runs: The folders of its runs.
    """
    for machine in stage.machines:
        box = stage.yard.boxes.get(machine.box or "")
        if box is None:
            continue
        begun_s = [one.began_s for one in (box.lease, box.trainer) if one is not None]
        if begun_s:
            life.promised_s[machine.id] = min(begun_s)
        if box.lease is not None:
            life.set_up.add(machine.id)
            life.leased |= {machine.id} if box.lease.can_end else set()
        if box.trainer is not None:
            until_s = min(box.trainer.ends_s, (machine.ended_at or math.inf) - EPOCH)
            life.trained_until[machine.id] = box.trainer.ends_s
            life.saved[machine.id] = max(box.trainer.checkpoints(until_s), default=0)
            if box.trainer.exit_code(until_s) == EXIT_INTERRUPTED:
                life.interrupted.add(machine.id)
            if until_s < box.trainer.ends_s:
                life.cut_short[machine.id] = box.trainer.step(until_s)
    for run in runs:
        if (run / "adapter").is_dir():
            life.torn += checksum_problems(run / "adapter")


def beside(stage: Stage, run_id: str) -> list[str]:
    """Return what exists of a run besides its machines, in all accounts; nothing is what a receipt says."""
    there = [one for book in stage.books for one in book.leftovers.values()]
    return [f"{one.kind} {one.id} ({one.name})" for one in there if run_id in one.name]
