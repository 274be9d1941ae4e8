"""``make logs``: what a machine said is shown, and steers no terminal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runner.cli import parser as cli
from runner.run.run_dir import PROJECT
from runner.world import RealWorld

RUN_ID = "20261128-153027-tiny"
"""A run that is over, of an older release."""


@pytest.mark.parametrize("name", ["trainer.log", "configure.log"])
def test_no_word_of_a_log_steers_the_terminal(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "runs" / RUN_ID
    shutil.copytree(PROJECT / "tests" / "data" / "runs-of-format-1" / RUN_ID, run)
    (run / "logs").mkdir(exist_ok=True)
    (run / "logs" / name).write_bytes("step 1\x1b]0;owned\x07 · fine\n\x9b2Jstep 2\r\n".encode())

    assert cli.main(["logs", "--run", RUN_ID, "--runs-dir", str(run.parent)], RealWorld({})) == 0

    said = capsys.readouterr().out
    assert "step 1" in said
    assert "fine" in said
    assert not set("\x1b\x07\x9b") & set(said)
