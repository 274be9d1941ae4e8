"""A run's folder of an id that a test knows."""

from __future__ import annotations

from pathlib import Path

from runner.run.run_dir import RunDir
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import RUN_ID


def run_named(runs_dir: Path, run_id: str = RUN_ID) -> RunDir:
    """Return the empty folder of a run, made."""
    run = RunDir(runs_dir.resolve() / run_id, RealWorld())
    run.path.mkdir(parents=True, mode=0o700)
    return run
