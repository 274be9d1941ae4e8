"""What is looked at besides the clouds' books: leases on machines, trainers, what came home, what stays of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.simulation.flaws import SPOILED_CHECKPOINTS
from runner.simulation.life import Life, Training
from runner.simulation.stage import Stage
from runner.simulation.store import SECRET, TOKEN
from runner.simulation.trainer import EPOCH
from runner.simulation.uploads import ORDER
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
    _look_at_the_store(stage, life)
    for run in runs:
        if (run / "adapter").is_dir():
            life.torn += checksum_problems(run / "adapter")


def _look_at_the_store(stage: Stage, life: Life) -> None:
    if stage.store is not None:
        life.trainings, life.steps = list(_trainings(stage)), stage.steps
        life.exposed += _exposed(stage, life)


def _trainings(stage: Stage) -> Iterator[Training]:
    """Yield what was trained on each of our machines, as far as they were there for it."""
    for machine in stage.machines:
        box = stage.yard.boxes.get(machine.box or "")
        if box is None or machine.id in stage.neighbours:
            continue
        until_s = min(box.died_s, (machine.ended_at or math.inf) - EPOCH)
        saves = () if box.trainer is None else box.trainer.saves()
        saved = tuple(one for one in saves if one[0] <= until_s)
        is_sent = any(path.endswith(ORDER) for path in box.files)
        yield Training(machine, tuple(box.begun), until_s, saved, is_sent, SPOILED_CHECKPOINTS in box.fate.flaws)


def _exposed(stage: Stage, life: Life) -> Iterator[str]:
    """Yield where a secret of the store's is at home: in a file, in what was printed, or in a program's arguments."""
    secrets = (SECRET, TOKEN)
    below = {str(path): path.read_bytes() for path in (stage.home / "runs").rglob("*") if path.is_file()}
    for path, content in (life.files | below).items():
        if any(secret.encode() in content for secret in secrets):
            yield f"{path.rpartition('/')[2]} holds a secret of the store"
    for one in life.ended:
        if any(secret in one.printed for secret in secrets):
            yield f"{one.words[0]} at {one.ended_s:.0f} s prints a secret of the store"
    for command in stage.yard.commands:
        if any(secret in word for word in command for secret in secrets):
            yield f"{command[0]} has a secret of the store among its arguments"


def beside(stage: Stage, run_id: str) -> list[str]:
    """Return what exists of a run besides its machines, in all accounts; nothing is what a receipt says."""
    there = [one for book in stage.books for one in book.leftovers.values()]
    return [f"{one.kind} {one.id} ({one.name})" for one in there if run_id in one.name]
