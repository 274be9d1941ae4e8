"""A whole run, with a stand-in for the trainer, on each of two remotes of rclone's."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.rclone_remotes import REMOTES
from tests.unit.runner.conftest import CommandLine
from trainer.checkpoints.places import open_place


@pytest.mark.parametrize("kind", REMOTES)
def test_a_run_that_fails_goes_on_from_the_remote_and_ends_with_a_receipt(
    kind: str, open_remote: Callable[[str], str], command_line: CommandLine
) -> None:
    url = open_remote(kind)

    failed = command_line.train("steps=20", "die_at=8", extra=("--set", f"store.url={url}"))
    run = command_line.latest()
    shutil.rmtree(run / "checkpoints")
    resumed = command_line.run("resume", "--set", "publishing.tags=[steps=20]")

    assert (failed.returncode, resumed.returncode) == (1, 0), failed.stderr + resumed.stderr
    assert "fetched: rclone://" in resumed.stdout
    assert (run / "receipt.json").is_file()
    assert "adapter/SHA256SUMS" in open_place(f"{url}/{run.name}", None).sizes()
