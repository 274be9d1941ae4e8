"""A disk in memory above a folder of this machine: what programs and libraries open by themselves lies there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from runner.simulation.disk import MemoryDisk

HAND_OVERS = (".json", ".jsonl")
"""The run's own files, which the runner alone opens: they are in memory, and nowhere else."""


class DiskAbove(MemoryDisk):
    """Reads what is in memory, else what is below; what is renamed or removed is so in both."""

    def __init__(
        self,
        now: Callable[[], datetime],
        process_id: Callable[[], int],
        turn: Callable[[], None],
        look: Callable[[], None],
        *,
        runs: Path,
    ) -> None:
        """Begin empty; ``runs`` is the folder of the runs: nothing outside it is looked for below."""
        super().__init__(now, process_id, turn, look)
        self._runs = f"{runs}/"

    def read(self, path: Path) -> bytes:
        """Return a file's content."""
        self._look()
        content = self._files.get(str(path))
        if content is not None:
            return content
        try:
            return super().read(path)
        except FileNotFoundError:
            return path.read_bytes()

    def names(self, path: Path) -> list[str]:
        """Return the names in a folder."""
        below = [entry.name for entry in path.iterdir()] if self._is_of_a_run(path) and path.is_dir() else []
        return sorted({*super().names(path), *below})

    def is_file(self, path: Path) -> bool:
        """Return whether there is a file of this name."""
        self._look()
        return str(path) in self._files or (self._may_be_below(path) and path.is_file())

    def is_dir(self, path: Path) -> bool:
        """Return whether there is a folder of this name."""
        self._look()
        return str(path) in self._folders or (self._may_be_below(path) and path.is_dir())

    def make_folder(self, path: Path, *, exist_ok: bool = True, mode: int = 0o777) -> None:
        """Make a folder, in both where programs write into it."""
        is_new = not super().is_dir(path)
        super().make_folder(path, exist_ok=exist_ok, mode=mode)
        if is_new and self._is_of_a_run(path):
            path.mkdir(parents=True, exist_ok=True)

    def rename(self, path: Path, target: Path) -> None:
        """Give a file or a folder another name."""
        if self._may_be_below(path) and path.exists():
            self._turn()
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        if super().is_file(path) or super().is_dir(path):
            super().rename(path, target)

    def remove_tree(self, path: Path) -> None:
        """Remove a folder with all in it."""
        super().remove_tree(path)
        if self._may_be_below(path) and path.is_dir():
            self._turn()
            shutil.rmtree(path)

    def _may_be_below(self, path: Path) -> bool:
        """Return whether a program or a library may have made this."""
        if not self._is_of_a_run(path):
            return False
        depth = str(path).count("/", len(self._runs))
        return depth > 1 or (depth == 1 and not path.name.endswith(HAND_OVERS))

    def _is_of_a_run(self, path: Path) -> bool:
        return str(path).startswith(self._runs)
