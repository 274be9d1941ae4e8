"""The second of two runs that begin in one second, as on two computers whose clocks differ by a little.

``python -m runner.rehearsal.same_second SECOND RUNS PROGRAM …`` is a command line whose clock stands at SECOND (ISO
8601) until there is a run in RUNS, and goes on from there.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from runner.run.run_dir import list_runs
from runner.world import RealWorld


class AtSecond(RealWorld):
    """This process's world, with a clock that waits for its run."""

    def __init__(self, second: datetime, runs: Path) -> None:
        """Take the second, and the folder in which the run will be."""
        super().__init__()
        self._second, self._runs = second, runs
        self._behind: timedelta | None = None

    def now(self) -> datetime:
        """Return the second until the run has its id; later on, the time that has passed since then on top of it."""
        if self._behind is None:
            if not list_runs(self._runs, self):
                return self._second
            self._behind = super().now() - self._second
        return super().now() - self._behind


def main(argv: Sequence[str]) -> int:
    """Run the program in such a world; return its exit status."""
    second, runs, program, *words = argv
    found = importlib.util.find_spec(f"{program}.__main__") if _is_package(program) else None
    entry = importlib.import_module(program if found is None else found.name)
    world = AtSecond(datetime.fromisoformat(second), Path(runs))
    status: int = entry.main(words, world)
    return status


def _is_package(program: str) -> bool:
    spec = importlib.util.find_spec(program)
    return spec is not None and spec.submodule_search_locations is not None


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
