"""A second run of the same name and the same second, in the same account, as from another computer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from runner.adapters import process
from runner.errors import EXIT_DONE
from runner.rehearsal.emulators import Emulators
from runner.run.run_dir import PROJECT, RunDir

LAUNCHER = "runner.rehearsal.same_second"
LONGEST_S = 1800.0
STAMP = "%Y%m%d-%H%M%S"


def runs_of_twin(folder: Path) -> Path:
    """Return the folder of the second run's runs, under that of the rehearsal."""
    return folder / "twin" / "runs"


class Twin:
    """The second run; it has a folder of runs of its own."""

    def __init__(self, program: str, emulators: Emulators, words: Sequence[str]) -> None:
        """Take the module that is the command line, the clouds, and the options of ``train``."""
        self._program, self._emulators, self._words = program, emulators, words
        self._child: process.Child | None = None

    def begin(self, first: RunDir) -> bool:
        """Begin it in the second of the first run; return whether that was now."""
        if self._child is not None:
            return False
        second = datetime.strptime("-".join(first.run_id.split("-")[:2]), STAMP).replace(tzinfo=UTC)
        runs = runs_of_twin(self._emulators.folder)
        runs.mkdir(parents=True)
        argv = [sys.executable, "-m", LAUNCHER, second.isoformat(), str(runs), self._program]
        argv += ["train", "--runs-dir", str(runs), *self._words, "--yes"]
        environ = self._emulators.environment()
        self._child = process.start(argv, log=runs.parent / "train.log", cwd=PROJECT, env=environ)
        return True

    def broken(self, exit_code: int) -> list[str]:
        """Wait for its end; return what does not hold, nothing where there was no twin.

        Args:
            exit_code: Exit status of the first run.
        """
        if self._child is None:
            return []
        status = self._child.wait(LONGEST_S)
        if (exit_code, status) == (EXIT_DONE, EXIT_DONE):
            return []
        return [f"of two runs of one second the first ended with exit status {exit_code}, the other with {status}"]

    def close(self) -> None:
        """End it, if it still runs."""
        if self._child is not None:
            self._child.kill()
