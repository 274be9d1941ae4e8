"""The lease of a rented machine, as the runner keeps it: without word from here the machine saves and ends itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runner.adapters.background import beside
from runner.adapters.machine import Machine
from runner.context import Context
from runner.errors import RunnerError
from runner.run.models import Host
from runner.run.run_dir import write_json
from runner.safety.lease_word import Word
from runner.store import run_store as storing
from runner.world import Event

BEAT_S = 20.0
"""Longest pause between two words to the machine, in seconds."""
BEATS_PER_LEASE = 6


@contextmanager
def kept(ctx: Context, host: Host) -> Iterator[None]:
    """Renew the lease of a rented machine as long as the block goes on; do nothing for a machine that was given."""
    if not ctx.environment.rents_machine:
        yield
        return
    renewing = beside(ctx.world, lambda over: _renew(ctx, host, over), name="lease", patience_s=BEAT_S)
    with renewing, storing.kept_open(ctx, host):
        yield


def say_hold(ctx: Context, host: Host) -> None:
    """Let a rented machine know that no runner will renew its lease for now: it goes on to its hard end.

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
