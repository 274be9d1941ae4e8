"""rclone, which opens stores at ``rclone://``: the one on PATH, else one in an environment of its own."""

from __future__ import annotations

from runner.adapters.packages import cannot_install
from runner.bootstrap import TARGETS, BootstrapError, ensure, standing
from runner.run.run_dir import PROJECT
from runner.world import World

PROGRAM = "rclone"


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
