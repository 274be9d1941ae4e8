"""The runner's side: how a guard is started, and what it is handed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from runner.adapters.process import Apart
from runner.adapters.surroundings import for_guard
from runner.adapters.tools import tools_of
from runner.clouds.registry import find_cloud
from runner.errors import ToolError
from runner.guard.words import Facts, line_of
from runner.run.run_dir import PROJECT
from runner.world import World
from trainer.files import object_or_none

START_S = 120.0
"""A guard starts within a second; a computer that is busy with other work takes longer."""


def start_guard(facts: Facts, world: World, log: Path, cancel: Callable[[], bool] = lambda: False) -> Apart:
    """Start the guard of a run and return it once it watches; one that lives already makes way for it.

    The account's key goes along in its environment, which has no other secret, and which no other user can read.

    Args:
        facts: The run.
        world: The environment variables.
        log: What it complains about before it watches; its folder is there.
        cancel: Asked several times a second; when it says yes, the guard is waited for no longer.

    Raises:
        ToolError: If it does not come to watch.
    """
    guard = tools_of(world).start_apart(
        [sys.executable, "-m", "runner.guard", facts.run_id],
        log=log,
        cwd=PROJECT,
        env=for_guard(world.environ, find_cloud(facts.cloud).real_variables),
    )
    guard.say(line_of("facts", facts))
    answer = object_or_none(guard.first_line(START_S, cancel)) or {}
    if "pid" not in answer:
        guard.end()
        raise ToolError(
            f"guard: the guard of {facts.run_id} did not start: {answer.get('error', f'it gave no answer; see {log}')}",
            resolution=f"see {log}, then repeat the command; `--set budget.guard=false` does without",
        )
    return guard
