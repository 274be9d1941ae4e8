"""When a sweep last terminated what was lost on each cloud, written where the runs are.

On a cloud that ends no machine by itself nothing else does, once the runner's computer is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.run.rentals import moment_or_none
from runner.run.run_dir import read_json, write_json
from runner.safety.asked import DAMAGE
from runner.world import Entry, World

SWEPT_NAME = "swept.json"


def note_sweep(runs_dir: Path, clouds: Iterable[str], world: World) -> None:
    """Write down that a sweep has just looked through these clouds to the end; no sweep fails for a full disk."""
    with contextlib.suppress(OSError):
        now = world.now().isoformat(timespec="seconds")
        write_json(_file(runs_dir, world), {**_read(runs_dir, world), **dict.fromkeys(clouds, now)})


def last_sweep(runs_dir: Path, cloud: str, world: World) -> datetime | None:
    """Return when a sweep last looked through a cloud to the end, or ``None`` where that is not known."""
    return moment_or_none(_read(runs_dir, world).get(cloud))


def _read(runs_dir: Path, world: World) -> dict[str, Any]:
    """Return the times by cloud; nothing where there are none that can be read."""
    try:
        found = dict(read_json(_file(runs_dir, world)) or {})
        return {cloud: at for cloud, at in found.items() if cloud.isascii() and moment_or_none(at)}
    except DAMAGE:
        return {}


def _file(runs_dir: Path, world: World) -> Entry:
    return Entry(runs_dir / SWEPT_NAME, world.disk)
