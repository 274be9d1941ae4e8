"""Which clouds a run has asked for a machine, read so that a damaged folder hides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.errors import RunnerError
from runner.run.journal import Journal
from runner.run.run_dir import RunDir, read_json

DAMAGE = (RunnerError, OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading a file of a run may raise whose content is not what was written."""


def clouds_asked(run: RunDir) -> set[str] | None:
    """Return the clouds on which any try of a run asked for a machine; ``None`` where that cannot be known."""
    try:
        asked = [entry for entry in Journal(run).entries() if entry.get("action") == "provision"]
        return {str(entry["environment"]) for entry in asked if entry.get("kind") == "intent"}
    except DAMAGE:
        return None


def environment_of(run: RunDir) -> str | None:
    """Return the environment in a run's configuration, or ``None`` where it cannot be read."""
    try:
        config: dict[str, Any] = read_json(run.config) or {}
        return str(config["compute"]["env"])
    except DAMAGE:
        return None


def without_receipt(runs: Sequence[RunDir]) -> dict[str, list[str]]:
    """Return the runs that have asked a cloud for a machine and have no receipt, by cloud.

    A run whose journal cannot be read counts for the cloud of its configuration.
    """
    found: dict[str, list[str]] = {}
    for run in runs:
        if run.receipt.exists():
            continue
        asked = clouds_asked(run)
        for cloud in {environment_of(run) or ""} if asked is None else asked:
            found.setdefault(cloud, []).append(run.run_id)
    return found
