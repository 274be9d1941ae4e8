"""Room on the disk for the next checkpoint: looked at before it is written, and what goes when there is too little."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from trainer.checkpoints.complete import list_finished, list_newest_first, newest_complete
from trainer.errors import TrainingError

MARGIN_BYTES = 4 << 20
"""What a checkpoint may be larger than the one before it, whose log of steps is shorter."""
MIB = 1 << 20


def make_room(name: str, folder: Path, *, kept: Collection[str], on_removed: Callable[[str], None]) -> None:
    """Remove checkpoints, the oldest first, until one as large as the newest fits.

    The newest that verifies stays, and what is to be kept. Before there is one nobody knows how large the next will be:
    nothing is judged or removed then.

    Args:
        name: The checkpoint that is about to be written.
        folder: Where checkpoints are.
        kept: Names of those that stay, such as the best one.
        on_removed: Is told the name of each that went.

    Raises:
        TrainingError: If it still does not fit.
    """
    finished = list_finished(folder)
    if not finished:
        return
    needed_bytes = _size_bytes(finished[0]) + MARGIN_BYTES
    if _free_bytes(folder) >= needed_bytes:
        return
    newest, _ = newest_complete(folder)
    staying = {name, *kept} | (set() if newest is None else {newest.path.name})
    for path in reversed(list_newest_first(folder) if newest is not None else []):
        if path.name in staying:
            continue
        shutil.rmtree(path, ignore_errors=True)
        on_removed(path.name)
        if _free_bytes(folder) >= needed_bytes:
            return
    whole = "no checkpoint here is whole" if newest is None else f"{newest.path.name} is whole"
    needed_mib, free_mib = needed_bytes / MIB, _free_bytes(folder) / MIB
    raise TrainingError(
        f"train: {name} does not fit: {needed_mib:.0f} MiB are needed in {folder}, {free_mib:.0f} MiB are free",
        resolution=f"make room (`df -h`), then `make resume`: {whole}",
    )


def _size_bytes(checkpoint: Path) -> int:
    return sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
