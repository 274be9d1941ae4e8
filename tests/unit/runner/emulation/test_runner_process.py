from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from runner.adapters import process
from runner.emulation.runner_process import RunnerProcess, RunnerRefusedError


def test_runner_and_all_it_has_started_are_killed_and_nothing_else(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(300)'])"
    child = process.start([sys.executable, "-c", code], log=tmp_path / "log")
    other = process.start([sys.executable, "-c", "import time; time.sleep(300)"], log=tmp_path / "other")
    try:
        root = psutil.Process(child.pid)
        while not root.children():
            assert child.poll() is None
        grandchild = root.children()[0]
        runner = RunnerProcess()
        runner.register(child.pid)

        killed = runner.kill()

        assert killed == [child.pid, grandchild.pid]
        assert child.wait(240) == -9
        assert other.poll() is None
        assert runner.kill() == []
    finally:
        child.kill()
        other.kill()


@pytest.mark.parametrize("pid", [1, os.getpid(), os.getppid()], ids=["init", "itself", "its_parent"])
def test_runner_that_holds_this_process_is_refused(pid: int) -> None:
    with pytest.raises(RunnerRefusedError, match="holds this server"):
        RunnerProcess().register(pid)


def test_runner_that_there_is_not_is_refused(tmp_path: Path) -> None:
    child = process.start([sys.executable, "-c", ""], log=tmp_path / "log")
    child.wait(240)

    with pytest.raises(RunnerRefusedError, match="no process"):
        RunnerProcess().register(child.pid)
