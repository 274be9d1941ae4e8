"""A run with a stand-in for the trainer that fails, has nothing left here, and goes on from its store."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.unit.runner.conftest import CommandLine


def fail_and_go_on(
    command_line: CommandLine, *settings: str, meanwhile: Callable[[Path], None] = lambda run: None
) -> tuple[Path, str]:
    """Let it end with a receipt; return its folder and what the resume printed.

    Args:
        command_line: Where it runs.
        settings: Those of its store, as ``store.url=...``.
        meanwhile: What happens to the store before the run goes on.
    """
    failed = command_line.train("steps=20", "die_at=8", extra=tuple(w for one in settings for w in ("--set", one)))
    run = command_line.latest()
    shutil.rmtree(run / "checkpoints")
    meanwhile(run)
    resumed = command_line.run("resume", "--set", "publishing.tags=[steps=20]")

    assert (failed.returncode, resumed.returncode) == (1, 0), failed.stderr + resumed.stderr
    assert (run / "receipt.json").is_file()
    return run, resumed.stdout
