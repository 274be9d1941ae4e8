"""What comes home from a machine: within an allowance, verified beside its place, checkpoints whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from runner.adapters.machine import Allowance, Machine
from runner.adapters.process import Cancel
from runner.context import Context
from runner.errors import RunnerError, TransferError
from runner.lifecycle.time_limit import hours_to_collect
from runner.run.models import Box
from trainer.checkpoints.complete import MANIFEST_NAME, best_of, verify
from trainer.checkpoints.names import is_checkpoint, step_of
from trainer.errors import CheckpointError

MIB = 1 << 20
UNPLANNED_GIB = 200.0
"""Disk of a machine whose plan cannot be read."""
MOST_CHECKPOINTS = 100
MOST_TRIED = 3
"""Checkpoints that are fetched until one is whole; a machine that bills is not kept for more."""


class Fetch:
    """Fetches from a machine until the user has no patience left or the time for it is over."""

    def __init__(self, ctx: Context, machine: Machine, *, is_over: Cancel | None = None) -> None:
        """Begin the time for it; ``is_over`` may end it earlier."""
        self.machine, self._ends_early = machine, is_over
        self._ctx, self._deadline_s = ctx, ctx.world.monotonic_s() + hours_to_collect(ctx) * 3600
        self._folder_bytes = round((2 * _planned_disk_gib(ctx) + 1) * 1024 * MIB)

    def is_over(self) -> bool:
        """Return whether nothing is fetched any more."""
        if self._ends_early is not None and self._ends_early():
            return True
        return self._ctx.stop.urgent or self._ctx.world.monotonic_s() > self._deadline_s

    def get(self, source: str, target: Path, size_bytes: int | None = None) -> None:
        """Fetch a file or folder; it may have twice what the plan gave the machine's disk, unless a size is given."""
        allowance = Allowance(self._folder_bytes if size_bytes is None else size_bytes)
        self.machine.get(source, target, allowance, cancel=self.is_over)

    def get_verified(
        self, source: str, target: Path, check: Callable[[Path], None], size_bytes: int | None = None
    ) -> None:
        """Fetch a folder beside its place, verify it, and only then let it take its place.

        Args:
            source: The folder on the machine.
            target: Its place here.
            check: Called with what came; raises ``TransferError`` where that is not what the machine has.
            size_bytes: Bytes that it may have; as ``get`` where nothing is given.
        """
        disk, part = self._ctx.world.disk, target.with_name(f"{target.name}.part")
        disk.remove_tree(part)
        try:
            self.get(source, part, size_bytes)
            check(part)
        except TransferError:
            disk.remove_tree(part)
            raise
        disk.remove_tree(target)
        disk.rename(part, target)


def bring_checkpoints(ctx: Context, fetch: Fetch, box: Box) -> tuple[list[str], TransferError | None]:
    """Bring the newest complete checkpoint, else the one before, and the best one if it is another.

    Returns:
        What came, and what was wrong with the first that could not be taken: the machine may go after this.
    """
    complete = list(complete_names(fetch.machine, box))
    wanted = complete[:MOST_TRIED]
    came: list[str] = []
    damaged: TransferError | None = None
    while wanted:
        name = wanted.pop(0)
        target = ctx.run.checkpoints / name
        try:
            if not (target / MANIFEST_NAME).exists():
                ctx.view.progress(f"collecting {name}")
                fetch.get_verified(f"{box.checkpoints}/{name}", target, _check_manifest)
        except TransferError as err:
            damaged = damaged or err
            continue
        came.append(f"checkpoints/{name}")
        best = best_of(target)
        wanted = [str(best)] if len(came) == 1 and best not in (None, name) and best in complete else []
    return came, damaged


def _planned_disk_gib(ctx: Context) -> float:
    try:
        return ctx.plan.disk_needed_gib
    except RunnerError:  # it is missing or damaged, and the results are to come home all the same
        return UNPLANNED_GIB


def _check_manifest(part: Path) -> None:
    try:
        verify(part)
    except CheckpointError as err:
        raise TransferError(
            f"collect: {part.stem} came home damaged: {err.message}", resolution="run `make collect` again"
        ) from err


def complete_names(machine: Machine, box: Box) -> Iterator[str]:
    """Yield the checkpoints on the machine that have a manifest, newest first; only so many are looked into."""
    numbered = [name for name in machine.names(box.checkpoints) if is_checkpoint(name)]
    newest_first = sorted(numbered, key=step_of, reverse=True)
    for name in newest_first[:MOST_CHECKPOINTS]:
        if MANIFEST_NAME in machine.names(f"{box.checkpoints}/{name}"):
            yield name
