"""The last word that a machine got about its lease, as it stands in the run folder."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from runner.run.run_dir import RunDir, read_json

Word = Literal["renew", "hold"]
BEAT_S = 20.0
"""Longest pause between two words of a runner, in seconds."""
BEATS_PER_LEASE = 6
MOVES_PER_LEASE = 3
"""So often the end of a lease is moved at a cloud that shows it, each time to a lease and one such pause from then."""


def beat_s(lease_minutes: float) -> float:
    """Return the pause between two words of a runner, in seconds."""
    return min(BEAT_S, lease_minutes * 60 / BEATS_PER_LEASE)


def last_word(run: RunDir) -> tuple[Word, datetime] | None:
    """Return the runner's last word to the machine of a run, and its time; ``None`` where there is no lease."""
    said: dict[str, Any] | None = read_json(run.file("lease.json"))
    return None if said is None else (said["word"], datetime.fromisoformat(said["said_at"]))
