"""What is wrong on the user's own machine when he comes back after a kill: files of the run, the key in his shell."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.guard.place import living_guard, lock_of
from runner.rehearsal.faults import FILE_FAULTS, LOST, HomeFault
from runner.run.run_dir import RunDir, write_json
from trainer.files import object_or_none


def damage(run: RunDir, faults: Sequence[HomeFault]) -> list[str]:
    """Damage files of a run as the faults ask for it; return the names of those that had a file to damage."""
    done = []
    for fault in faults:
        file = run.path / fault.at
        if fault.action in LOST and run.checkpoints.is_dir():
            shutil.rmtree(run.checkpoints)
            done.append(fault.name)
        if fault.action not in FILE_FAULTS or not file.is_file():
            continue
        if fault.action == "state_file_lost":
            file.unlink()
        else:
            whole = file.read_bytes()
            file.write_bytes(whole[: len(whole) // 2] if fault.action == "state_file_cut" else b"")
        done.append(fault.name)
    return done


def read_leniently(file: Path) -> dict[str, Any]:
    """Return what a file of a run holds; nothing where it is missing or damaged, as the faults may have it."""
    try:
        return object_or_none(file.read_bytes()) or {}
    except OSError:
        return {}


def write_as_a_later_version(run: RunDir) -> None:
    """Leave in a run's configuration and state what a later version of Douse might write there."""
    for name in ("config.json", "state.json"):
        write_json(run.path / name, {**read_leniently(run.path / name), "of_a_later_version": {"format": 99}})


def lose_guard(run: RunDir) -> int | None:
    """Take away the lock by which the guard of a run is known; return the guard's process id, ``None`` for no guard."""
    pid = living_guard(run.run_id, run.world)
    if pid:
        lock_of(run.run_id, run.world).unlink()
    return pid or None


ASTRAY = {
    "LC_ALL": "C",
    "TF_WORKSPACE": "elsewhere",
    "TF_DATA_DIR": "/nowhere",
    "TF_CLI_ARGS_apply": "-target=nothing.at_all",
    "TF_CLI_ARGS_destroy": "-target=nothing.at_all",
    "ANSIBLE_INVENTORY_ENABLED": "ini",
    "ANSIBLE_STDOUT_CALLBACK": "oneline",
    "ANSIBLE_ROLES_PATH": "/nowhere",
}
"""Settings of a user's own that our Terraform and our Ansible must never hear of."""


def in_another_shell(environ: Mapping[str, str], action: str, other_account: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a shell without the rehearsal's key, or with the key of another account.

    Args:
        environ: The environment of a shell that has it.
        action: ``no_key`` or ``other_account``.
        other_account: The variables that are the key, as they lead to the other account.
    """
    without = {name: value for name, value in environ.items() if name not in other_account}
    return without if action == "no_key" else {**without, **other_account}
