"""The lease of a rented machine, as the runner keeps it: without word from here the machine saves and ends itself.

Where the cloud shows the end of the lease too, it is moved there beside the words to the machine, so that a sweep on
any computer knows it. What is shown there ends a third of a lease later than what the machine has been promised: the
machine saves its work before anybody terminates it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from runner.adapters.background import beside
from runner.adapters.machine import Machine
from runner.cloud_api.environment import NotThere
from runner.cloud_api.labels import resource_name
from runner.cloud_api.models import Resource
from runner.clouds.registry import find_cloud, open_cloud
from runner.context import Context
from runner.errors import ConnectionLostError, MachineLostError, RunnerError
from runner.lifecycle import guarding
from runner.lifecycle.lost_lines import note_lost_lines
from runner.lifecycle.terraform_inputs import rented_until, seconds_to_hard_end
from runner.run.models import Host
from runner.run.run_dir import write_json
from runner.safety.lease_word import BEAT_S, LEASE_NAME, MOVES_PER_LEASE, Word, beat_s, note
from runner.store import arming
from runner.world import Event
from trainer.files import parse_object

LAST_MOVE_S = 2.0
"""How long a request that moves a lease is waited for when the runner needs it no longer, in seconds."""
ANSWER_S = 30.0
"""How long the machine may take to answer a word, in seconds."""
Listener = Literal["runs", "unknown", "restarted", "dead", "deaf"]
"""What the machine says of its daemon: ``deaf`` is one that no word can be written down for."""
Over = Literal["not_renewed", "hard_end", "idle"]
"""Why the machine says that its lease is over."""


@contextmanager
def kept(ctx: Context, host: Host) -> Iterator[None]:
    """Renew the lease of a rented machine as long as the block goes on; do nothing for a machine that was given."""
    if not ctx.environment.rents_machine:
        yield
        return
    guarding.begin(ctx, rents=False)
    _note_lost_lines(ctx)
    note(ctx.run, "renew")
    is_urgent = ctx.stop.impatience()
    renewing = beside(
        ctx.world, lambda over: _renew(ctx, host, over), name="lease", patience_s=BEAT_S, is_urgent=is_urgent
    )
    moving = beside(
        ctx.world, lambda over: _move_at_cloud(ctx, host, over), name="lease at cloud", patience_s=LAST_MOVE_S
    )
    with renewing, moving, arming.kept_open(ctx, host):
        yield


def _note_lost_lines(ctx: Context) -> None:
    with contextlib.suppress(OSError):  # as with the note: on a full disk here the run goes on without it
        note_lost_lines(ctx)


def say_hold(ctx: Context, host: Host) -> None:
    """Let a rented machine know that no runner will renew its lease for now: it goes on to its hard end.

    From here on the run's guard looks after it.

    Raises:
        ConnectionLostError: If the machine cannot be reached.
        MachineLostError: If its lease is over already: it trains no more, whatever it is asked to do.
    """
    if not ctx.environment.rents_machine:
        return
    _note_lost_lines(ctx)
    machine = ctx.machine(host)
    talk = _Talk(ctx, host, machine)
    try:
        prefix = talk.say("hold")
        if talk.over is None:
            note(ctx.run, "hold")
    finally:
        machine.close()
    if talk.over is not None:
        raise _is_over(ctx, host, talk.over)
    hand_over(ctx, host, prefix)


def why_over(ctx: Context, host: Host, machine: Machine) -> str | None:
    """Return why the lease of a rented machine is over, by its own word: then it saves and ends itself.

    Returns:
        ``not_renewed``, ``hard_end`` or ``idle``; ``None`` while it lasts, and where an older release has set it up.

    Raises:
        ConnectionLostError: If the machine cannot be reached.
    """
    if not ctx.environment.rents_machine:
        return None
    return _over(_asked(machine, ctx.box(host, machine).prefix, _text(ctx, "renew")))


def refuse_over(ctx: Context, host: Host) -> None:
    """Refuse a rented machine whose lease is over: what would be begun there is stopped, or goes on without an end.

    Raises:
        MachineLostError: If it is.
        ConnectionLostError: If the machine cannot be reached.
    """
    machine = ctx.machine(host)
    try:
        over = why_over(ctx, host, machine)
    finally:
        machine.close()
    if over is not None:
        raise _is_over(ctx, host, over)


def hand_over(ctx: Context, host: Host, prefix: str | None) -> None:
    """Leave a rented machine to the run's guard.

    Where the cloud shows the lease, it ends there with the machine's hard end; that this could not be written is shown.

    Args:
        ctx: The run.
        host: Its machine.
        prefix: Where the run lives there, or ``None`` where nothing is to be trained yet.
    """
    if not ctx.environment.rents_machine:
        return
    if _is_shown(ctx):
        try:
            _show(ctx, host, ctx.world.now() + timedelta(seconds=seconds_to_hard_end(ctx)))
        except RunnerError as err:
            ctx.view.line(
                f"{err.message}; a sweep may terminate {host.instance_id} before its hard end: `make watch` keeps it"
            )
    guarding.hold(ctx, host, prefix)


def _is_shown(ctx: Context) -> bool:
    """Return whether the cloud shows the end of a lease."""
    return not isinstance(find_cloud(ctx.environment.name).lease_at_cloud, NotThere)


def _move_at_cloud(ctx: Context, host: Host, over: Event) -> None:
    """Move the end of the lease that the cloud shows as long as a runner is here; a failure counts for nothing.

    It never passes the machine's hard end: a runner that hangs must not push a schedule of the cloud's before itself.
    """
    if not _is_shown(ctx):
        return
    lease_s = ctx.run_file.budget.lease_minutes * 60
    while not over.is_set():
        pause_s = lease_s / MOVES_PER_LEASE
        try:
            ends_at, hard_end = ctx.world.now() + timedelta(seconds=lease_s + pause_s), rented_until(ctx)
            _show(ctx, host, ends_at if hard_end is None else min(ends_at, hard_end))
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
    pause_s = beat_s(ctx.run_file.budget.lease_minutes)
    machine = ctx.machine(host)
    talk = _Talk(ctx, host, machine)
    try:
        while not over.is_set():
            try:
                talk.say("renew")
            except (RunnerError, OSError):
                machine.close()  # the step that needs the machine, or the disk, reports it; only the next try counts
            over.wait(pause_s)
    finally:
        machine.close()


class _Talk:
    """The runner's words to the lease of one machine, and what comes of them.

    Attributes:
        over: Why the lease is over, by the last answer.
    """

    def __init__(self, ctx: Context, host: Host, machine: Machine) -> None:
        self._ctx, self._host, self._machine = ctx, host, machine
        self.over: str | None = None
        self._last: Listener = "runs"

    def say(self, word: Word) -> str:
        """Say a word to the machine's own watch, and return where the run lives there."""
        text = _text(self._ctx, word)
        prefix = self._ctx.box(self._host, self._machine).prefix
        answer = _asked(self._machine, prefix, text)
        if answer is None:
            self._put(prefix, text)
        listener, self.over = _listener(answer), _over(answer)
        kept_as: Word = word if self.over is None else "renew"  # nobody is to leave it alone until its hard end
        said = {"word": kept_as, "said_at": self._ctx.world.now().isoformat(timespec="seconds"), "listener": listener}
        if listener != "unknown":
            guarding.saves(self._ctx, is_leased=listener != "dead")
        with contextlib.suppress(OSError):  # the machine has heard it, on a full disk here too
            write_json(self._ctx.run.file(LEASE_NAME), said)
        self._report(listener)
        return prefix

    def _put(self, prefix: str, text: str) -> None:
        with self._ctx.world.scratch("douse-lease-") as folder:
            path = folder / "beat"
            path.write_text(f"{text}\n", encoding="ascii")
            self._machine.put(path, f"{prefix}/lease/beat")

    def _report(self, listener: Listener) -> None:
        """Say once what has become of the lease; what is not known changes nothing."""
        if listener in (self._last, "unknown"):
            return
        name = f"the lease on {self._host.instance_id}"
        words = {
            "runs": f"{name} works again",
            "restarted": f"{name} had died and was started again",
            "dead": f"WARNING: {name} IS DEAD and does not start: without this runner, nothing there stops the bill. "
            f"`make down RUN={self._ctx.run.run_id}` terminates the machine",
            "deaf": f"WARNING: {name} CANNOT BE RENEWED, the machine's disk takes no word: it is going to shut down",
        }
        if not (self._last == "restarted" and listener == "runs"):
            self._ctx.view.line(words[listener])
            line = f"{self._ctx.world.now():%Y-%m-%dT%H:%M:%SZ} {words[listener]}\n"
            (self._ctx.run.logs / "lease.log").append(line.encode())
        self._last = listener


def _is_over(ctx: Context, host: Host, over: str) -> MachineLostError:
    """Return the error for a machine that was left to itself for too long, or is at its hard end."""
    run_id = ctx.run.run_id
    return MachineLostError(
        f"lease: that of {host.instance_id} is over ({over}): the machine has stopped its trainer",
        resolution=f"save what is there with `make watch RUN={run_id}`, which terminates the machine; where it cannot "
        f"end itself, `make configure RUN={run_id}` begins a new lease",
    )


def _text(ctx: Context, word: Word) -> str:
    """Return a word as the machine takes it; no two are alike, so that no clock has to agree."""
    return f"{word} {ctx.world.token()}"


def _asked(machine: Machine, prefix: str, text: str) -> dict[str, Any] | None:
    """Say a word to the lease's own program; return its answer, ``None`` where it gives none.

    It has none before its role ran, and on a machine that an older release has set up.
    """
    try:
        done = machine.run(["sh", f"{prefix}/lease/say", text], timeout_s=ANSWER_S)
        return parse_object(done.stdout) if done.exit_code == 0 else None
    except ConnectionLostError:
        raise
    except (RunnerError, ValueError):  # too late, or nonsense: the word itself must still get there
        return None


def _over(answer: dict[str, Any] | None) -> str | None:
    """Return why the lease is over, from the answer of its program."""
    over = None if answer is None else answer.get("over")
    return over if over in get_args(Over) else None


def _listener(answer: dict[str, Any] | None) -> Listener:
    """Return who hears the runner, from the answer of the lease's program."""
    if answer is None or answer.get("was_running") is None:
        return "unknown"
    if not answer.get("runs"):
        return "dead"
    if not answer.get("written"):
        return "deaf"
    return "runs" if answer["was_running"] else "restarted"
