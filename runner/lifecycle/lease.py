"""The lease of a rented machine, as the runner keeps it: without word from here the machine saves and ends itself.

Where the cloud shows the end of the lease too, it is moved there beside the words to the machine, so that a sweep on
any computer knows it. What is shown there ends a third of a lease later than what the machine has been promised: the
machine saves its work before anybody terminates it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from runner.adapters.background import beside
from runner.adapters.machine import Machine
from runner.cloud_api.environment import NotThere
from runner.cloud_api.labels import resource_name
from runner.cloud_api.models import Resource
from runner.clouds.registry import find_cloud, open_cloud
from runner.context import Context
from runner.errors import RunnerError
from runner.lifecycle.terraform_inputs import hard_end_of_machine
from runner.run.models import Host
from runner.run.run_dir import write_json
from runner.safety.lease_word import Word
from runner.store import run_store as storing
from runner.world import Event

BEAT_S = 20.0
"""Longest pause between two words to the machine, in seconds."""
BEATS_PER_LEASE = 6
MOVES_PER_LEASE = 3
LAST_MOVE_S = 2.0
"""How long a request that moves a lease is waited for when the runner needs it no longer, in seconds."""


@contextmanager
def kept(ctx: Context, host: Host) -> Iterator[None]:
    """Renew the lease of a rented machine as long as the block goes on; do nothing for a machine that was given."""
    if not ctx.environment.rents_machine:
        yield
        return
    renewing = beside(ctx.world, lambda over: _renew(ctx, host, over), name="lease", patience_s=BEAT_S)
    moving = beside(
        ctx.world, lambda over: _move_at_cloud(ctx, host, over), name="lease at cloud", patience_s=LAST_MOVE_S
    )
    with renewing, moving, storing.kept_open(ctx, host):
        yield


def say_hold(ctx: Context, host: Host) -> None:
    """Let a rented machine know that no runner will renew its lease for now: it goes on to its hard end.

    Where the cloud shows the lease, it ends there with the machine's hard end; that this could not be written is shown.

    Raises:
        ConnectionLostError: If the machine cannot be reached.
    """
    if not ctx.environment.rents_machine:
        return
    machine = ctx.machine(host)
    try:
        _say(ctx, host, machine, "hold")
    finally:
        machine.close()
    if _is_shown(ctx):
        try:
            _show(ctx, host, hard_end_of_machine(ctx))
        except RunnerError as err:
            ctx.view.line(
                f"{err.message}; a sweep may terminate {host.instance_id} before its hard end: `make watch` keeps it"
            )


def _is_shown(ctx: Context) -> bool:
    """Return whether the cloud shows the end of a lease."""
    return not isinstance(find_cloud(ctx.environment.name).lease_at_cloud, NotThere)


def _move_at_cloud(ctx: Context, host: Host, over: Event) -> None:
    """Move the end of the lease that the cloud shows as long as a runner is here; a failure counts for nothing."""
    if not _is_shown(ctx):
        return
    lease_s = ctx.run_file.budget.lease_minutes * 60
    while not over.is_set():
        pause_s = lease_s / MOVES_PER_LEASE
        try:
            _show(ctx, host, ctx.world.now() + timedelta(seconds=lease_s + pause_s))
        except RunnerError:
            pause_s = min(BEAT_S, pause_s)  # the machine itself has its word: here only the next try counts
        over.wait(pause_s)


def _show(ctx: Context, host: Host, ends_at: datetime) -> None:
    """Let the cloud show when the lease of a machine ends.

    Raises:
        CloudError: If it refuses, or does not answer.
    """
    run_id, cloud = ctx.run.run_id, ctx.environment.name
    machine = Resource(cloud, "instance", host.instance_id, resource_name(run_id), host.region, run_id, None)
    open_cloud(cloud, ctx.world).move_lease(machine, ends_at)


def _renew(ctx: Context, host: Host, over: Event) -> None:
    pause_s = min(BEAT_S, ctx.run_file.budget.lease_minutes * 60 / BEATS_PER_LEASE)
    machine = ctx.machine(host)
    try:
        while not over.is_set():
            try:
                _say(ctx, host, machine, "renew")
            except RunnerError:
                machine.close()  # the step that needs the machine reports it; here only the next try counts
            over.wait(pause_s)
    finally:
        machine.close()


def _say(ctx: Context, host: Host, machine: Machine, word: Word) -> None:
    """Put a word where the machine's own watch looks for it; no two are alike, so that no clock has to agree."""
    with ctx.world.scratch("douse-lease-") as folder:
        path = folder / "beat"
        path.write_text(f"{word} {ctx.world.token()}\n", encoding="ascii")
        machine.put(path, f"{ctx.box(host, machine).prefix}/lease/beat")
    said = {"word": word, "said_at": ctx.world.now().isoformat(timespec="seconds")}
    write_json(ctx.run.file("lease.json"), said)
