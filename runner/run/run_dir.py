"""The run folder: one folder per run, every hand-over between steps a file in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.errors import RunNotFoundError
from runner.world import Entry, World
from trainer.files import indented, parse_object, write_atomically

PROJECT = Path(__file__).resolve().parent.parent.parent
"""The checkout: where ``infra/``, ``playbooks/`` and ``requirements/`` are."""
PLAN_MARK = "planned.json"
"""In a run folder: it was planned and has not begun."""
LONGEST_RUN_ID = 48
"""With the end of a lease behind it, a machine's name has at most the 64 characters that every cloud takes."""
SUFFIX_LENGTH = 4
FOLDER_NAME = re.compile(r"^\d{8}-\d{6}-[a-z0-9][a-z0-9-]*$")
SUFFIX = re.compile(r"^[a-z0-9]{4}$")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
TRIES = 100


@dataclass(frozen=True)
class RunDir:
    """One run on disk.

    What the runner itself reads and writes is an ``Entry``, through the disk of the run's world. What is handed to
    programs and libraries (Terraform's folder, keys, known hosts, logs, adapter, checkpoints) is a ``Path``.

    Attributes:
        path: The folder.
        world: Time, chance and surroundings.
    """

    path: Path
    world: World = field(compare=False, repr=False)
    _files: dict[str, Entry] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def run_id(self) -> str:
        """Name of the run: ``YYYYMMDD-HHMMSS-<name>-<four random characters>``, older ones without the last part."""
        return self.path.name

    def file(self, name: str) -> Entry:
        """Return a hand-over file; who follows a run asks for the same ones again and again."""
        if name not in self._files:
            self._files[name] = Entry(self.path / name, self.world.disk)
        return self._files[name]

    def log(self, step: str) -> Path:
        """Return the log file of a step; its folder is made."""
        return self.logs.path / f"{step}.log"

    @property
    def logs(self) -> Entry:
        """The folder of the logs, made."""
        folder = self.file("logs")
        folder.make_folder()
        return folder

    @property
    def config(self) -> Entry:
        """The resolved run file."""
        return self.file("config.json")

    @property
    def is_plan(self) -> bool:
        """Whether it was planned and has not begun: by its mark, and never where there is a journal."""
        return self.file(PLAN_MARK).is_file() and not self.file("journal.jsonl").is_file()

    @property
    def terraform(self) -> Path:
        """Working copy of the environment's root module, with its state."""
        return self.path / "terraform"

    @property
    def host(self) -> Entry:
        """The machine, as the environment handed it back."""
        return self.file("host.json")

    @property
    def events(self) -> Entry:
        """Copy of the trainer's events."""
        return self.file("events.jsonl")

    @property
    def gpu_log(self) -> Entry:
        """How the machine's GPUs were while it trained."""
        return self.file("gpu.jsonl")

    @property
    def known_hosts(self) -> Path:
        """Pinned host keys of this run."""
        return self.path / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        """The run's own configuration of ssh, for a machine of the user's own: the way to it."""
        return self.path / "ssh" / "config"

    @property
    def login_key(self) -> Path:
        """Private key that logs in to a rented machine."""
        return self.path / "ssh" / "id_ed25519"

    @property
    def host_key(self) -> Path:
        """Private host key that a rented machine is handed before it boots."""
        return self.path / "ssh" / "host_ed25519"

    @property
    def adapter(self) -> Path:
        """The adapter, brought home."""
        return self.path / "adapter"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints brought home from a run that did not end well."""
        return self.path / "checkpoints"

    @property
    def receipt(self) -> Entry:
        """Proof of teardown."""
        return self.file("receipt.json")


def create_run(runs_dir: Path, name: str, now: datetime, world: World) -> RunDir:
    """Make a new run folder, named by time, name and chance.

    Two runs of one name and one second get different ids, on two computers too: by its id a run's machine is found
    and terminated.
    """
    world.disk.make_folder(runs_dir)
    for _ in range(TRIES):
        path = runs_dir.resolve() / new_run_id(name, now, world)
        try:
            world.disk.make_folder(path, exist_ok=False, mode=0o700)
        except FileExistsError:
            continue
        return RunDir(path, world)
    raise RunNotFoundError(
        f"run: {path} and {TRIES - 1} other names are taken", resolution="wait a second, then repeat the command"
    )


def new_run_id(name: str, now: datetime, world: World) -> str:
    """Return an id that no other run has; of a long name the end is left out, never of what tells runs apart."""
    stem = f"{now:%Y%m%d-%H%M%S}-{name}"[: LONGEST_RUN_ID - SUFFIX_LENGTH - 1].rstrip("-")
    chance = bytes.fromhex(world.token(SUFFIX_LENGTH))
    return f"{stem}-{''.join(LETTERS[byte % len(LETTERS)] for byte in chance)}"


def mark_plan(run: RunDir, now: datetime) -> None:
    """Mark a new folder as a plan: no command takes it for a run before it begins."""
    write_json(run.file(PLAN_MARK), {"planned_at": now.isoformat(timespec="seconds")})


def begin_run(run: RunDir) -> None:
    """Make a plan a run; what is a run already stays one."""
    run.file(PLAN_MARK).unlink()


def list_runs(runs_dir: Path, world: World) -> list[RunDir]:
    """Return all runs, oldest first; plans that have not begun are none."""
    return [run for run in _folders(runs_dir, world) if not run.is_plan]


def list_traces(runs_dir: Path, world: World) -> list[RunDir]:
    """Return all runs, oldest first, those included whose folder has lost its ``config.json``: a machine may be left.

    Raises:
        OSError: If the folder of the runs cannot be read.
    """
    folder, disk = runs_dir.resolve(), world.disk
    named = [RunDir(folder / name, world) for name in disk.names(folder) if FOLDER_NAME.match(name)]
    whole = {run.path: run for run in _folders(runs_dir, world)}
    found = {run.path: run for run in named if disk.is_dir(run.path)} | whole
    return [found[path] for path in sorted(found) if not found[path].is_plan]


def find_run(runs_dir: Path, run_id: str | None, world: World) -> RunDir:
    """Return the run or the plan of this id, or the latest run.

    Args:
        runs_dir: The folder of the runs.
        run_id: A whole id, or the four characters at the end of one.
        world: The disk.

    Raises:
        RunNotFoundError: If there is none, or these characters are at the end of several.
    """
    found = _folders(runs_dir, world)
    if run_id is None:
        return _latest(runs_dir, found)
    named = [run for run in found if is_named(run_id, run)]
    if len(named) == 1:
        return named[0]
    if named:
        raise RunNotFoundError(
            f"run: {run_id} is the end of {' and '.join(run.run_id for run in named)}",
            resolution="name one of them in whole",
        )
    known = ", ".join(run.run_id for run in found[-3:]) or "none"
    raise RunNotFoundError(
        f"run: there is no run {run_id} in {runs_dir} (latest: {known})", resolution="list the runs with `make runs`"
    )


def is_named(given: str, run: RunDir) -> bool:
    """Return whether what was given is this id or its end; the beginning of an id may be another run's whole id."""
    return run.run_id == given or (SUFFIX.match(given) is not None and run.run_id.endswith(f"-{given}"))


def _latest(runs_dir: Path, found: Sequence[RunDir]) -> RunDir:
    runs = [run for run in found if not run.is_plan]
    if runs:
        return runs[-1]
    planned = f", or the latest plan with `make resume RUN={found[-1].run_id}`" if found else ""
    raise RunNotFoundError(f"run: there is no run in {runs_dir}", resolution=f"start one with `make train`{planned}")


def _folders(runs_dir: Path, world: World) -> list[RunDir]:
    """Return all runs and plans, oldest first."""
    folder, disk = runs_dir.resolve(), world.disk
    return [RunDir(folder / name, world) for name in disk.names(folder) if disk.is_file(folder / name / "config.json")]


def write_file(path: Path | Entry, content: bytes) -> None:
    """Write a file so that it is there as a whole or not at all, after a crash too; its folder is made."""
    if isinstance(path, Entry):
        path.write_bytes(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)


def write_json(path: Path | Entry, value: Any) -> None:
    """Write plain data as JSON, atomically."""
    write_file(path, indented(value).encode() + b"\n")


def read_json(path: Path | Entry) -> dict[str, Any] | None:
    """Return the object that a file holds, or ``None`` when there is no such file.

    Raises:
        RunNotFoundError: If the file is damaged, or holds something else.
    """
    try:
        return parse_object(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as err:
        raise damaged(path, str(err)) from err


def damaged(path: Path | Entry, why: str) -> RunNotFoundError:
    """Return the error for a file that is not what was written there."""
    return RunNotFoundError(
        f"run: {path} is damaged",
        resolution="restore it from a copy, or start a new run (`make train`); `make sweep` finds what is rented",
        details=why,
    )
