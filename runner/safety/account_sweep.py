"""The account-wide sweep: what of ours exists on every configured cloud, whose it is, and which of it has to go."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from runner.cloud_api.models import Cloud, Resource
from runner.errors import RunnerError, TeardownError
from runner.run.run_dir import RunDir, read_json
from runner.run.state import RunState, holder
from runner.safety.asked import DAMAGE, unanswered, without_receipt
from runner.safety.lease_word import Word, word_or_noted
from runner.safety.patience import Patience
from runner.safety.proof import is_surely_the_account
from runner.safety.terminate import Wait, terminate_all

DEFAULT_LEASE_MINUTES = 15.0
LONGEST_START = timedelta(hours=1)
"""A run's folder without a lease yet is taken for abandoned after this long without a runner."""
Guarded = Callable[[RunDir], bool]


class SweepError(TeardownError):
    """Something could not be terminated.

    Attributes:
        ended: What was terminated all the same.
    """

    def __init__(self, message: str, *, ended: Sequence[Resource], resolution: str, details: str) -> None:
        """Keep the three parts, and what was terminated."""
        super().__init__(message, resolution=resolution, details=details)
        self.ended = tuple(ended)


@dataclass(frozen=True)
class Finding:
    """One thing of ours in an account.

    Attributes:
        resource: What it is.
        reason: Why it is there, or why it has to go.
        abandoned: Whether no run is using it, as far as this machine knows.
        is_judged: Whether that could be told from the run's folder.
    """

    resource: Resource
    reason: str
    abandoned: bool
    is_judged: bool = True


@dataclass(frozen=True)
class Survey:
    """What was found on all configured clouds.

    Attributes:
        findings: All that exists.
        unread: Clouds that could not be read, or not to their end, with their reasons.
        not_looked_at: Clouds without an account here, or with another one, with the runs that have asked them for a
            machine and have no receipt.
        late: Runs of whose last request a machine may yet appear, by cloud.
        clocks: How far a cloud's clock is ahead of this computer's, by its name, where the two do not agree.
    """

    findings: list[Finding]
    unread: Mapping[str, str]
    not_looked_at: Mapping[str, Sequence[str]] = field(default_factory=dict)
    late: Mapping[str, Sequence[str]] = field(default_factory=dict)
    clocks: Mapping[str, timedelta] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether everything was looked at and could be judged."""
        is_open = self.unread or self.not_looked_at or self.late
        return not is_open and all(finding.is_judged for finding in self.findings)


def list_all(clouds: Sequence[Cloud]) -> tuple[list[Resource], dict[str, str], dict[str, timedelta]]:
    """Return all Douse resources of these accounts; by cloud, why not all could be read, and how far its clock is off.

    A clock that agrees with this computer's is left out.
    """
    resources: list[Resource] = []
    unread: dict[str, str] = {}
    clocks: dict[str, timedelta] = {}
    for cloud in clouds:
        try:
            listing = cloud.listing()
        except Exception as err:  # noqa: BLE001 - whatever one client raises, the other clouds are looked at
            unread[cloud.name] = reason_of(err)
            continue
        resources += listing.resources
        if listing.unread:
            unread[cloud.name] = "; ".join(err.message for err in listing.unread)
        if listing.clock_off:
            clocks[cloud.name] = listing.clock_off
    return resources, unread, clocks


def reason_of(err: Exception) -> str:
    """Return why an account cannot be read, in the words of an expected error, else with the name of a defect."""
    return err.message if isinstance(err, RunnerError) else f"{type(err).__name__}: {err}"


def survey(
    clouds: Sequence[Cloud],
    runs: Sequence[RunDir],
    now: datetime,
    *,
    closed: Mapping[str, str] | None = None,
    guarded: Guarded | None = None,
) -> Survey:
    """Look at every account, and judge what is there, each resource by itself.

    Args:
        clouds: The accounts.
        runs: The runs whose folders are on this machine.
        now: The moment to judge by.
        closed: Clouds whose account cannot be opened here, with reasons.
        guarded: Returns whether a guard here watches over a run.
    """
    known = {run.run_id: run for run in runs}
    resources, unread, clocks = list_all(clouds)
    findings = [judge(found, known, now, clocks.get(found.cloud, timedelta()), guarded) for found in resources]
    asked = without_receipt(runs)
    missing = {name: asked[name] for name in closed or {} if name in asked}
    hidden = not_shown([cloud for cloud in clouds if cloud.name not in unread], runs, resources)
    return Survey(findings, unread, missing | hidden, may_appear(clouds, runs, resources, now), clocks)


def not_shown(clouds: Sequence[Cloud], runs: Sequence[RunDir], resources: Sequence[Resource]) -> dict[str, list[str]]:
    """Return the runs without a receipt that have rented on these clouds with another account than that here.

    Args:
        clouds: The accounts, each read to its end.
        runs: The runs whose folders are on this machine.
        resources: What the accounts show: what is shown of a run proves its account.
    """
    known, asked = {run.run_id: run for run in runs}, without_receipt(runs)
    seen = {found.run_id for found in resources}
    missing: dict[str, list[str]] = {}
    for cloud in clouds:
        names = [name for name in asked.get(cloud.name, ()) if name not in seen]
        hidden = [name for name in names if not is_surely_the_account(known[name], cloud)]
        if hidden:
            missing[cloud.name] = hidden
    return missing


def may_appear(
    clouds: Sequence[Cloud], runs: Sequence[RunDir], resources: Sequence[Resource], now: datetime
) -> dict[str, list[str]]:
    """Return the runs, by cloud, whose last request nobody answered, and of which no account shows a machine so far.

    Args:
        clouds: The accounts that were looked at: what may hide in another is said of that one.
        runs: The runs whose folders are on this machine.
        resources: What the accounts show.
        now: The moment to judge by.
    """
    shown = {found.run_id for found in resources if found.kind == "instance"}
    asked = unanswered(runs, now)
    late = {one.name: [run_id for run_id in asked.get(one.name, ()) if run_id not in shown] for one in clouds}
    return {name: run_ids for name, run_ids in late.items() if run_ids}


def judge(
    resource: Resource,
    runs: Mapping[str, RunDir],
    now: datetime,
    clock_off: timedelta = timedelta(),
    guarded: Guarded | None = None,
) -> Finding:
    """Say whose a resource is, and whether it is abandoned.

    What stands at the cloud is judged by the cloud's clock, what a runner here has written by this computer's.

    One whose run's folder is damaged is shown, and stays; so does one of which nobody knows when it has to be over,
    for its mark cannot be read. Neither is judged.
    """
    try:
        found = _judge(resource, runs, now, now + clock_off, guarded)
    except DAMAGE as err:
        reason = f"the folder of run {resource.run_id} cannot be read ({err})"
        return Finding(resource, reason, abandoned=False, is_judged=False)
    if found.abandoned or resource.odd_expiry is None or resource.lease_until is not None:
        return found
    reason = f"{found.reason}; when it has to be over cannot be read from {resource.odd_expiry[:40]!r}"
    return replace(found, reason=reason, is_judged=False)


def _judge(
    resource: Resource, runs: Mapping[str, RunDir], now: datetime, now_there: datetime, guarded: Guarded | None
) -> Finding:
    """Say whose a resource is, and whether it is abandoned.

    It is when its run is over by its own mark, when the lease that the cloud shows has run out and no runner here
    renews it, when the run's folder is here and says that it is down, or when that run's lease has run out, whether or
    not a runner still holds its lock. What belongs to a run that is not known here may be another machine's: it is
    shown, and stays until its end has passed.
    """
    if resource.expires_at is not None and resource.expires_at < now_there:
        return Finding(resource, f"its run should have been over by {resource.expires_at:%Y-%m-%d %H:%M} UTC", True)
    run = runs.get(resource.run_id or "")
    lease = resource.lease_until
    if lease is not None and lease < now_there and not _is_renewed_here(run, now):
        return Finding(resource, f"its lease ran out at {lease:%Y-%m-%d %H:%M} UTC, as the cloud shows", True)
    goes_on = f"; its lease runs out at {lease:%H:%M} UTC, as the cloud shows" if lease is not None else ""
    if run is None:
        return Finding(resource, f"run {resource.run_id or 'unknown'} is not in this runs folder{goes_on}", False)
    until = _end_of_lease(run)
    has_runner = holder(run) is not None
    if has_runner and (until is None or until >= now):
        return Finding(resource, f"run {run.run_id} is being driven", False)
    if _is_down(run):
        return Finding(resource, f"run {run.run_id} is down, and this is left", True)
    if goes_on:
        return Finding(resource, f"run {run.run_id} has no runner here{goes_on}", False)
    return _judge_by_folder(resource, run, now, guarded)


def _judge_by_folder(resource: Resource, run: RunDir, now: datetime, guarded: Guarded | None) -> Finding:
    """Say whether a resource of a run that nobody drives here is abandoned, by what the run's folder holds alone."""
    word = _word(run)
    until = _end_of_lease(run)
    if word is None:
        began = run.world.disk.changed_at(run.config.path if run.config.exists() else run.path)
        over = now - began > LONGEST_START
        return Finding(resource, f"run {run.run_id} has no runner and never had a lease", over)
    if until is None:
        return Finding(resource, f"run {run.run_id} trains without a runner, as requested (DETACH=1)", False)
    # A runner that is stopped (Ctrl-Z) or hangs still holds the run's lock: the age of its last word counts.
    runner = "a runner that does nothing" if holder(run) is not None else "no runner"
    if word[0] is None and guarded is not None and guarded(run):
        reason = f"the last word to the machine of run {run.run_id} cannot be read, and a guard watches over it"
        return Finding(resource, reason, abandoned=False)
    if until < now:
        return Finding(resource, f"run {run.run_id} has {runner}, and its lease ran out at {until:%H:%M} UTC", True)
    return Finding(resource, f"run {run.run_id} has {runner}; its lease runs out at {until:%H:%M} UTC", False)


def end(clouds: Sequence[Cloud], doomed: Sequence[Finding], wait: Wait, patience: Patience) -> list[Resource]:
    """Terminate what has to go on every cloud, whatever happens on another; return what was terminated.

    Args:
        clouds: The accounts.
        doomed: What has to go.
        wait: Pause in seconds between two looks.
        patience: How long to wait for what.

    Raises:
        TeardownError: If something is still there after all patience, or a cloud cannot be read.
    """
    ended: list[Resource] = _ask_all(clouds, doomed)
    left: list[Resource] = []
    problems: list[str] = []
    for cloud in clouds:
        ids: set[tuple[str, str]] = {
            (found.resource.kind, found.resource.id) for found in doomed if found.resource.cloud == cloud.name
        }
        if not ids:
            continue
        try:
            seen = terminate_all(cloud, partial(_is_one_of, ids), wait=wait, patience=patience)
        except Exception as err:  # noqa: BLE001 - whatever one client raises, the other clouds are swept
            problems.append(f"cannot check what is left on {cloud.name}: {reason_of(err)}")
            ended = [found for found in ended if found.cloud != cloud.name]
            continue
        still_there = {(found.kind, found.id) for found in seen.left}
        ended = [found for found in ended if found.cloud != cloud.name or (found.kind, found.id) not in still_there]
        ended += [found for found in seen.ended if found not in ended]
        left += seen.left
        problems += seen.problems(cloud.name)
    if problems:
        again = f", or terminate {left[0].id} in the cloud's console" if left else ", or look in the cloud's console"
        raise SweepError(
            f"sweep: {'; '.join(problems)}",
            ended=ended,
            details="\n".join(problems),
            resolution=f"run `make sweep APPLY=1` again{again}",
        )
    return ended


def _ask_all(clouds: Sequence[Cloud], doomed: Sequence[Finding]) -> list[Resource]:
    """Ask every cloud once for the end of the machines that have to go; return those for which nobody refused.

    One that stays for minutes must not let those of the next cloud bill meanwhile. With a single cloud there is none.
    """
    asked: list[Resource] = []
    if len({found.resource.cloud for found in doomed}) < 2:
        return asked
    for cloud in clouds:
        for found in doomed:
            if (found.resource.cloud, found.resource.kind) == (cloud.name, "instance"):
                with contextlib.suppress(Exception):  # it is asked again, and what it answers then counts
                    cloud.end(found.resource)
                    asked.append(found.resource)
    return asked


def is_surely_ours(resource: Resource) -> bool:
    """Return whether a resource carries a whole run id.

    A volume of which the name alone begins like ours (``douse-models``) may hold somebody's data, and nothing brings it
    back; everything else can be made again.
    """
    return resource.kind != "volume" or resource.run_id is not None


def _is_one_of(ids: set[tuple[str, str]], found: Resource) -> bool:
    return (found.kind, found.id) in ids


def _is_renewed_here(run: RunDir | None, now: datetime) -> bool:
    """Return whether a runner here drives the run and renews its lease."""
    if run is None or holder(run) is None:
        return False
    until = _end_of_lease(run)
    return until is not None and until >= now


def _end_of_lease(run: RunDir) -> datetime | None:
    """Return when a run's lease runs out by the last word from here, or ``None`` where that renewed none.

    A word that nobody can read may have been any: its machine gets the time of a start.
    """
    word = _word(run)
    if word is None or word[0] == "hold":
        return None
    return word[1] + (LONGEST_START if word[0] is None else _lease(run))


def _word(run: RunDir) -> tuple[Word | None, datetime] | None:
    """Return the last word to a run's machine; where that cannot be read, the last that it can have been."""
    try:
        return word_or_noted(run)
    except DAMAGE:
        return None


def _is_down(run: RunDir) -> bool:
    """Return whether a run is down, by its state, or by its receipt where that cannot be read."""
    try:
        return RunState(run).is_done("destroy")
    except DAMAGE:
        return run.receipt.exists()


def _lease(run: RunDir) -> timedelta:
    """Return how long a word holds; where the run's configuration cannot be read, as long as it does by default."""
    try:
        config: dict[str, Any] = read_json(run.config) or {}
        return timedelta(minutes=float(config["budget"]["lease_minutes"]))
    except DAMAGE:
        return timedelta(minutes=DEFAULT_LEASE_MINUTES)
