"""A machine of the user's own (``ENV=existing``): a login, and what can be seen before anything is put there."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runner.adapters.interpreter import find_python
from runner.adapters.machine import Machine
from runner.adapters.ssh_config import find_way, pins_of, write_way
from runner.errors import ConnectionLostError, RunnerError, TransferError
from runner.planning.checks.asking import Question
from runner.planning.checks.gpus import GPU, check_gpus
from runner.planning.checks.line import Check, failed, from_error, passed, skipped
from runner.planning.checks.this_machine import THERE
from runner.planning.estimate.disk import GIB
from runner.run.host_words import one_line
from runner.run.models import Host
from runner.run.run_file import RunFile
from runner.world import World

LOGIN, PYTHON = "login", "python there"
PATIENCE_S = 180.0
"""How long all of it may take; each request has an end of its own before that."""
ANSWER_S = 60.0
MARK = "douse-hears"
SHOWN = 120


@dataclass(frozen=True)
class Seen:
    """What was seen on the machine.

    Attributes:
        name: The machine.
        free_bytes: Free space where the run will live.
        folder: The folder in which it will.
        python: The interpreter, or why there is none.
        gpu: The line of its GPU.
    """

    name: str
    free_bytes: int
    folder: str
    python: Check
    gpu: Check


def look(run_file: RunFile, world: World, known_hosts: Path | None = None) -> Seen:
    """Log in and look; nothing is put there.

    Args:
        run_file: The run.
        world: Its network and the user's configuration of ssh.
        known_hosts: Host keys that the run has pinned before.

    Raises:
        RunnerError: If nobody can log in or work there; its words name the cause.
    """
    from runner.adapters.ssh import SshMachine  # paramiko takes its time to import
    from runner.adapters.ssh_login import Way

    compute = run_file.compute
    way = find_way(world, compute.host or "", compute.identity_file)
    last = way[-1]
    host = Host(last.address, last.port, last.user, "given", "given-machine", "here", False, 0.0, None, "local")
    with world.scratch("douse-login-") as folder:
        config, pins = folder / "ssh" / "config", folder / "known_hosts"
        write_way(config, way)
        pinned = "" if known_hosts is None else pins_of(known_hosts, last.address, last.port)
        if pinned:
            pins.write_text(pinned, encoding="utf-8")
        machine = SshMachine(world, host, pins, Way(config=config))
        try:
            return see(machine, run_file)
        finally:
            machine.close()


def see(machine: Machine, run_file: RunFile) -> Seen:
    """Return what is to be seen on a machine.

    Args:
        machine: The machine.
        run_file: The run.

    Raises:
        RunnerError: If nobody can work there.
    """
    _hear(machine)
    home = _home(machine)
    prefix = run_file.compute.prefix
    given = "~/.douse/runs" if prefix is None else prefix
    folder = given.replace("~", home, 1) if given.startswith("~") else given
    _check_writable(machine, folder)
    return Seen(machine.name, machine.free_bytes(folder), folder, _python(machine), check_gpus(run_file, machine))


def check_given(question: Question[Seen], needed_gib: float, check_stop: Callable[[], None]) -> list[Check]:
    """Return the lines ``LOGIN``, ``THERE``, ``PYTHON`` and ``GPU``.

    Args:
        question: Looks at the machine.
        needed_gib: Free disk that the run needs there, in GiB.
        check_stop: Called now and then while waiting; may raise.
    """
    try:
        seen = question.answer(check_stop)
    except RunnerError as err:
        return [from_error(LOGIN, err), *(skipped(name, "needs a login") for name in (THERE, PYTHON, GPU))]
    return [passed(LOGIN, seen.name), _disk(seen, needed_gib), seen.python, seen.gpu]


def _disk(seen: Seen, needed_gib: float) -> Check:
    free_gib, remedy = seen.free_bytes / GIB, "free some disk there, or set compute.prefix to a folder of another disk"
    if seen.free_bytes == 0:
        return failed(THERE, f"the disk under {seen.folder} is full, {needed_gib:.1f} GiB are needed", remedy)
    if free_gib < needed_gib:
        return failed(THERE, f"{free_gib:.1f} GiB are free under {seen.folder}, {needed_gib:.1f} are needed", remedy)
    return passed(THERE, f"{free_gib:.1f} GiB free, {needed_gib:.1f} needed")


def _hear(machine: Machine) -> None:
    """Refuse a machine whose shell says other words than the program that it runs."""
    done = machine.run(["echo", MARK], timeout_s=ANSWER_S)
    before, mark, _ = done.stdout.partition(MARK)
    if mark and not before:
        return
    words = one_line(before or done.last_words)[:SHOWN]
    if mark:
        raise TransferError(
            f"ssh: {machine.name} prints {words!r} before what any program says",
            resolution="let ~/.bashrc (or the like) there print only where the shell is interactive: "
            "put `case $- in *i*) ;; *) return;; esac` above it",
        )
    raise TransferError(
        f"ssh: {machine.name} takes the login, but runs no programs: {words or 'no answer'}",
        resolution="give the user a shell there, without a forced command",
    )


def _home(machine: Machine) -> str:
    try:
        return machine.home
    except ConnectionLostError as err:
        raise TransferError(
            f"ssh: {machine.name} takes no files: its sshd offers no SFTP",
            details=err.message,
            resolution="add `Subsystem sftp internal-sftp` to its sshd_config",
        ) from err


def _check_writable(machine: Machine, folder: str) -> None:
    place = folder
    while not machine.exists(place):
        place = posixpath.dirname(place)
    done = machine.run(["sh", "-c", '[ -d "$1" ] && [ -w "$1" ]', "sh", place], timeout_s=ANSWER_S)
    if done.exit_code != 0:
        raise TransferError(
            f"ssh: {place} on {machine.name} cannot be written, and the run is to live in {folder}",
            resolution="make it writable for this user, or set compute.prefix to a folder that is",
        )


def _python(machine: Machine) -> Check:
    try:
        return passed(PYTHON, find_python(machine, any_will_do=False))
    except RunnerError as err:
        return from_error(PYTHON, err)
