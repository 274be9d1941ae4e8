"""rclone, which opens stores at ``rclone://``: the one on PATH, else one in an environment of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from runner.adapters.packages import cannot_install
from runner.bootstrap import TARGETS, BootstrapError, ensure, standing
from runner.run.run_dir import PROJECT
from runner.world import World
from trainer.checkpoints.rclone_program import ask
from trainer.errors import StoreError

PROGRAM = "rclone"
READ_S = 60.0
Remotes = Callable[[str], Mapping[str, str]]
"""Returns the keys of a remote by its name, none for one that is not there."""


def provide_rclone(world: World) -> None:
    """Make the environment with rclone in it, unless one is on PATH.

    Raises:
        ExtraError: If it cannot be made.
    """
    if world.find_program(PROGRAM) is not None:
        return
    try:
        ensure(PROJECT, TARGETS["rclone"])
    except BootstrapError as err:
        otherwise = "or install rclone so that it is on PATH (https://rclone.org/install/)"
        raise cannot_install("rclone, needed for stores at rclone://,", err, otherwise) from err


def rclone_program(world: World) -> str | None:
    """Return rclone's program as it is here, ``None`` where there is none; nothing is installed."""
    on_path = world.find_program(PROGRAM)
    if on_path is not None:
        return str(on_path)
    python = standing(PROJECT, TARGETS["rclone"])
    return None if python is None else str(python.with_name(PROGRAM))


def read_remotes(program: str, world: World) -> Remotes:
    """Return what rclone knows of its remotes here: by its configuration, and by variables, which count for more.

    Args:
        program: rclone's program.
        world: Whose environment leads to the configuration, and opens it.

    Raises:
        StoreError: If the configuration cannot be read.
    """
    try:
        answer = ask([program, "config", "dump", "--ask-password=false"], world.environ, timeout_s=READ_S)
        known = json.loads(answer.stdout) if answer.status == 0 else None
    except (OSError, TimeoutError, ValueError) as err:
        raise _unreadable(str(err)) from err
    if not isinstance(known, dict):
        raise _unreadable((answer.stderr.strip().splitlines() or [f"exit status {answer.status}"])[-1])

    prefixes = {_prefix(name) for name in known}

    def keys_of(name: str) -> Mapping[str, str]:
        prefix = _prefix(name)
        others = tuple(other for other in prefixes if other != prefix and other.startswith(prefix))
        by_variable = {
            variable.removeprefix(prefix).lower(): value
            for variable, value in world.environ.items()
            if variable.startswith(prefix) and not variable.startswith(others)
        }
        return {key: str(value) for key, value in {**known.get(name, {}), **by_variable}.items()}

    return keys_of


def _prefix(name: str) -> str:
    """Return how the variables of a remote begin: those of ``my-drive`` begin as those of ``my`` do."""
    return f"RCLONE_CONFIG_{name.upper().replace('-', '_')}_"


def _unreadable(cause: str) -> StoreError:
    return StoreError(
        f"store: rclone's configuration cannot be read: {cause[:300]}",
        resolution="see what `rclone config dump` says; one with a password needs RCLONE_CONFIG_PASS or "
        "RCLONE_PASSWORD_COMMAND",
    )
