"""The environment that has `datasets` and pyarrow: made when it is first needed, and used by programs of its own."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from runner.adapters import process
from runner.adapters.packages import cannot_install
from runner.adapters.process import Cancel
from runner.bootstrap import TARGETS, BootstrapError, ensure
from runner.errors import ToolError
from runner.run.run_dir import PROJECT
from runner.world import World
from trainer.surroundings import allowed

MODULES = ("datasets", "pyarrow")
PROGRAM_S = 3600.0
"""How long a program may take: the largest tables that fit the cache take minutes."""
OFFLINE = {"HF_HUB_OFFLINE": "1"}
"""What is downloaded, Douse downloads itself: these programs read files."""


def run_program(name: str, *arguments: str, world: World, cancel: Cancel | None = None) -> dict[str, Any]:
    """Run a program of this folder in the environment and return the JSON object that is its last line.

    Args:
        name: The program.
        arguments: What it is given.
        world: Whose variables it gets, secrets left out.
        cancel: Asked several times a second whether to end it.

    Raises:
        ExtraError: If the environment cannot be made.
        ToolError: If the program fails in a way that it does not expect.
        ToolCancelledError: If ``cancel`` said yes.
    """
    argv = [python(), "-I", str(Path(__file__).with_name(name)), *arguments]
    done = process.run(argv, timeout_s=PROGRAM_S, environ=allowed(world.environ), env=OFFLINE, cancel=cancel)
    if done.exit_code != 0:
        words = done.last_words.splitlines() or [f"exit status {done.exit_code}"]
        raise ToolError(
            f"data: {name} failed: {words[-1][:200]}",
            resolution="make room in memory and on the disk, or write the data as JSON Lines and name that file",
            details=done.last_words,
        )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def python() -> str:
    """Return an interpreter that has the packages: this one, or that of the environment, which is made if need be.

    Raises:
        ExtraError: If it cannot be made.
    """
    if all(importlib.util.find_spec(module) is not None for module in MODULES):
        return sys.executable
    try:
        return str(ensure(PROJECT, TARGETS["data"]))
    except BootstrapError as err:
        what = "datasets and pyarrow, which read Parquet, Arrow and data sets of the Hub,"
        raise cannot_install(what, err, "or write the data as JSON Lines and name that file") from err
