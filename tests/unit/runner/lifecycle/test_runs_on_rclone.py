"""A whole run, with a stand-in for the trainer, on each of two remotes of rclone's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.rclone_remotes import REMOTES
from tests.unit.runner.conftest import PROJECT, WAIT_S, CommandLine, Sshd, wait_until
from tests.unit.runner.lifecycle.from_a_store import fail_and_go_on
from trainer.checkpoints.complete import MANIFEST_NAME
from trainer.checkpoints.places import open_place


@pytest.mark.parametrize("kind", REMOTES)
def test_a_run_that_fails_goes_on_from_the_remote_and_ends_with_a_receipt(
    kind: str, open_remote: Callable[[str], str], command_line: CommandLine
) -> None:
    url = open_remote(kind)

    run, said = fail_and_go_on(command_line, f"store.url={url}")

    assert "fetched: rclone://" in said
    assert "adapter/SHA256SUMS" in open_place(f"{url}/{run.name}", None).sizes()


@pytest.mark.slow  # it waits for three looks of ten seconds
def test_while_a_machine_elsewhere_trains_what_comes_home_goes_on_to_the_remote(
    open_remote: Callable[[str], str], command_line: CommandLine, sshd: Sshd
) -> None:
    url = open_remote("local")
    there = ["--env", "existing", "--host", sshd.host, "--set", f"compute.identity_file={sshd.identity}"]
    there += ["--set", f"compute.prefix={command_line.folder}/there", "--set", f"store.url={url}"]
    words = command_line.train_words("steps=20", command_line.gated)

    runner = subprocess.Popen(
        command_line.argv("train", *words, *there), cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    try:
        place = open_place(url, None)
        wait_until(lambda: runner.poll() is not None or any(name.endswith(MANIFEST_NAME) for name in place.sizes()))
        was_running = runner.poll() is None
    finally:
        command_line.gate.touch()
        said, _ = runner.communicate(timeout=WAIT_S)

    assert was_running, said
    assert runner.returncode == 0, said
    assert "came home: checkpoint-" in said
    assert f"stored: {url}/{command_line.latest().name}/checkpoints/checkpoint-" in said
    assert (command_line.latest() / "receipt.json").is_file()
