"""Which clouds a run has asked for a machine, read so that a damaged folder hides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from runner.adapters.terraform import STATE_FILE
from runner.errors import RunnerError
from runner.run.journal import JOURNAL_NAME, Journal
from runner.run.run_dir import RunDir, read_json, write_json
from runner.run.state import RunState, holder

CLOSED_NAME = "closed.json"
DAMAGE = (RunnerError, OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What reading a file of a run may raise whose content is not what was written."""


LATE_S = 7200.0
"""Terraform may outlive its runner, and a cloud may list a machine late: for so long after a request without an answer
one may appear."""


def has_lost_lines(run: RunDir) -> bool:
    """Return whether all of a run's journal is gone: it is empty, or missing though a machine may have been asked for.

    A step that failed or was interrupted, and left no state of Terraform's, got no further than to its plan.

    Raises:
        RunnerError: If the run's state cannot be read; see ``DAMAGE`` for what else damage raises.
    """
    file = run.file(JOURNAL_NAME)
    if file.read_or_nothing():
        return False
    provision = RunState(run).steps.get("provision") or {}
    if file.exists() or run.is_plan:
        return file.exists()
    return provision.get("status") in ("done", "running") or (run.terraform / STATE_FILE).exists()


def requests_of(run: RunDir) -> list[dict[str, Any]] | None:
    """Return the intents by which a run asked for machines, oldest first; ``None`` where they cannot all be read."""
    try:
        if has_lost_lines(run):
            return None
        journal = Journal(run)
        asked = [entry for entry in journal.entries() if (entry["action"], entry["kind"]) == ("provision", "intent")]
        return None if journal.is_damaged else asked
    except DAMAGE:
        return None


def clouds_asked(run: RunDir) -> set[str] | None:
    """Return the clouds on which any try of a run asked for a machine; ``None`` where that cannot be known."""
    asked = requests_of(run)
    if asked is None or not all("environment" in entry for entry in asked):
        return None
    return {str(entry["environment"]) for entry in asked}


def environment_of(run: RunDir) -> str | None:
    """Return the environment in a run's configuration, or ``None`` where it cannot be read."""
    try:
        config: dict[str, Any] = read_json(run.config) or {}
        return str(config["compute"]["env"])
    except DAMAGE:
        return None


def is_closed(run: RunDir) -> bool:
    """Return whether a person has taken it upon himself that nothing of a run is left."""
    return run.file(CLOSED_NAME).exists()


def close(run: RunDir) -> None:
    """Write down that a person has taken it upon himself that nothing of a run is left."""
    write_json(run.file(CLOSED_NAME), {"closed_at": run.world.now().isoformat(timespec="seconds")})


def without_receipt(runs: Sequence[RunDir]) -> dict[str, list[str]]:
    """Return the runs that have asked a cloud for a machine and have no receipt, by cloud.

    A run whose journal cannot be read counts for the cloud of its configuration; one that a person has closed does not.
    """
    found: dict[str, list[str]] = {}
    for run in runs:
        if run.receipt.exists() or is_closed(run):
            continue
        asked = clouds_asked(run)
        for cloud in {environment_of(run) or ""} if asked is None else asked:
            found.setdefault(cloud, []).append(run.run_id)
    return found


def unanswered(runs: Sequence[RunDir], now: datetime) -> dict[str, list[str]]:
    """Return the runs, by cloud, of whose last request a machine may yet appear that no runner here waits for.

    Args:
        runs: The runs whose folders are on this machine.
        now: The moment to judge by.
    """
    open_ = {run_id for names in without_receipt(runs).values() for run_id in names}
    found: dict[str, list[str]] = {}
    for run in runs:
        asked = requests_of(run) if run.run_id in open_ else None
        if not asked or holder(run) is not None or not Journal(run).unanswered("provision"):
            continue
        if now - datetime.fromisoformat(str(asked[-1]["time"])) < timedelta(seconds=LATE_S):
            found.setdefault(str(asked[-1].get("environment", "")), []).append(run.run_id)
    return found
