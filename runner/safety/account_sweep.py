"""The account-wide sweep: what of ours exists on every configured cloud, whose it is, and which of it has to go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runner.cloud_api.models import Cloud, Resource
from runner.errors import CloudError, TeardownError, UsageError
from runner.run.run_dir import RunDir, read_json
from runner.run.state import RunState, holder
from runner.safety.lease_word import last_word
from runner.safety.sweep import Wait, end_all

LONGEST_START = timedelta(hours=1)
"""A run's folder without a lease yet is taken for abandoned after this long without a runner."""


@dataclass(frozen=True)
class Finding:
    """One thing of ours in an account.

    Attributes:
        resource: What it is.
        reason: Why it is there, or why it has to go.
        abandoned: Whether no run is using it, as far as this machine knows.
    """

    resource: Resource
    reason: str
    abandoned: bool


@dataclass(frozen=True)
class Survey:
    """What was found on all configured clouds.

    Attributes:
        findings: All that exists.
        unread: Clouds that could not be read, with their reasons.
    """

    findings: list[Finding]
    unread: Mapping[str, str]


def survey(
    clouds: list[Cloud], runs: Sequence[RunDir], now: datetime, *, remedy: str = "set the key of a cloud"
) -> Survey:
    """Look at every account, and judge what is there.

    Args:
        clouds: The accounts.
        runs: The runs whose folders are on this machine.
        now: The moment to judge by.
        remedy: What somebody has to do who has no account set.

    Raises:
        UsageError: If no cloud is configured: then nothing can be known.
    """
    if not clouds:
        raise UsageError(
            "sweep: no cloud is configured, so there is nothing to check",
            resolution=remedy,
        )
    findings: list[Finding] = []
    unread: dict[str, str] = {}
    known = {run.run_id: run for run in runs}
    for cloud in clouds:
        try:
            findings += [judge(found, known, now) for found in cloud.resources()]
        except CloudError as err:
            unread[cloud.name] = err.message
    return Survey(findings, unread)


def judge(resource: Resource, runs: Mapping[str, RunDir], now: datetime) -> Finding:
    """Say whose a resource is, and whether it is abandoned.

    It is when its run is over by its own mark, when the run's folder is here and says that it is down, or when nobody
    drives that run and its lease has run out. What belongs to a run that is not known here may be another machine's:
    it is shown, and stays until its end has passed.
    """
    if resource.expires_at is not None and resource.expires_at < now:
        return Finding(resource, f"its run should have been over by {resource.expires_at:%Y-%m-%d %H:%M} UTC", True)
    run = runs.get(resource.run_id or "")
    if run is None:
        return Finding(resource, f"run {resource.run_id or 'unknown'} is not in this runs folder", False)
    if holder(run) is not None:
        return Finding(resource, f"run {run.run_id} is being driven", False)
    if RunState(run).is_done("destroy"):
        return Finding(resource, f"run {run.run_id} is down, and this is left", True)
    word = last_word(run)
    if word is None:
        began = run.world.disk.changed_at(run.config.path)
        over = now - began > LONGEST_START
        return Finding(resource, f"run {run.run_id} has no runner and never had a lease", over)
    if word[0] == "hold":
        return Finding(resource, f"run {run.run_id} trains without a runner, as requested (DETACH=1)", False)
    until = word[1] + _lease(run)
    if until < now:
        return Finding(resource, f"run {run.run_id} has no runner, and its lease ran out at {until:%H:%M} UTC", True)
    return Finding(resource, f"run {run.run_id} has no runner; its lease runs out at {until:%H:%M} UTC", False)


def end(clouds: list[Cloud], doomed: list[Finding], wait: Wait) -> list[Resource]:
    """End what has to go, cloud by cloud; return what was ended.

    Args:
        clouds: The accounts.
        doomed: What has to go.
        wait: Pause in seconds between two looks.

    Raises:
        TeardownError: If something is still there after all patience, or a cloud cannot be read.
    """
    ended: list[Resource] = []
    for cloud in clouds:
        ids = {(found.resource.kind, found.resource.id) for found in doomed if found.resource.cloud == cloud.name}
        if not ids:
            continue
        try:
            swept = end_all(cloud, lambda found, ids=ids: (found.kind, found.id) in ids, wait=wait)  # type: ignore[misc]
        except CloudError as err:
            raise TeardownError(
                f"sweep: cannot check what is left on {cloud.name}: {err.message}",
                details=err.details,
                resolution="run `make sweep APPLY=1` again, or look in the cloud's console",
            ) from err
        ended += swept.ended
        if swept.left:
            raise TeardownError(
                f"sweep: {cloud.name} still has {', '.join(f'{found.kind} {found.id}' for found in swept.left)}",
                resolution=f"run `make sweep APPLY=1` again, or terminate {swept.left[0].id} in the cloud's console",
            )
    return ended


def _lease(run: RunDir) -> timedelta:
    config: dict[str, Any] = read_json(run.config) or {}
    return timedelta(minutes=float(config.get("budget", {}).get("lease_minutes", 15.0)))
