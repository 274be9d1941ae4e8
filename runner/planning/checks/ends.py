"""What terminates the machine when nobody is awake: the cloud, the machine itself, or sweeps on a schedule."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from runner.cloud_api.environment import NotThere
from runner.clouds.registry import find_cloud
from runner.planning.checks.line import Check, passed, warned
from runner.safety.sweeps_seen import last_sweep
from runner.world import World

ENDS = "ends by itself"
SWEPT_WITHIN = timedelta(hours=1)
UNSEEN = "no sweep has run here in the last hour, and one on another computer cannot be seen from here"
"""A sweep leaves its trace beside the runs. At a cloud that has no end of its own it would have to leave a key or a
file system there, in an account that a sweep is to leave empty."""
ON_A_SCHEDULE = "let `make sweep APPLY=1` run every few minutes on a computer that stays awake: docs/money-safety.md"


def check_end(cloud: str, runs_dir: Path, world: World) -> Check:
    """Say what terminates a machine on a cloud once the runner is gone, and until when that will last.

    Args:
        cloud: The cloud.
        runs_dir: Folder of the runs, where sweeps write that they ran.
        world: The time of day, and the disk.
    """
    record = find_cloud(cloud)
    if isinstance(record.hard_end, NotThere):
        return _by_sweeps(cloud, record.hard_end.because, runs_dir, world)
    if isinstance(record.hard_end_goes, NotThere):
        return passed(ENDS, record.hard_end)
    return warned(ENDS, f"{record.hard_end}; {record.hard_end_goes}", f"before that, {ON_A_SCHEDULE}")


def _by_sweeps(cloud: str, because: str, runs_dir: Path, world: World) -> Check:
    """Return the line for a cloud where only sweeps terminate what is lost."""
    swept, now = last_sweep(runs_dir, cloud, world), world.now()
    if swept is not None and now - SWEPT_WITHIN <= swept <= now:
        return passed(ENDS, f"no, but a sweep ran here at {swept:%H:%M} UTC")
    return warned(ENDS, f"no: {because}; {UNSEEN}", ON_A_SCHEDULE)
