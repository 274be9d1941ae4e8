"""A run in a folder of a test's own, in this process's own world."""

from __future__ import annotations

from pathlib import Path

from runner.run.run_dir import RunDir
from runner.world import RealWorld


def run_at(folder: Path) -> RunDir:
    return RunDir(folder, RealWorld())
