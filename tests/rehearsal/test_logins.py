"""Where this machine allows no namespaces a rented machine is a login, and the rehearsal is the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runner.emulation.boxes import clean
from runner.run.run_dir import PROJECT, list_runs, read_json
from runner.world import RealWorld
from tests.tiny_model import write_tiny_run_file

WITHOUT_NAMESPACES = ("setpriv", "--bounding-set", "-sys_admin,-net_admin", "--inh-caps", "-sys_admin,-net_admin")
"""Root as in a container: it may neither mount nor make networks."""

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="gives up rights of root")


def rehearse(folder: Path, cloud: str, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [*WITHOUT_NAMESPACES, sys.executable, "-m", "runner", "rehearse", "--env", cloud, "--folder", str(folder)]
    return subprocess.run([*argv, *words], cwd=PROJECT, capture_output=True, text=True, timeout=500, check=False)


@pytest.mark.parametrize("cloud", [pytest.param("lambda", marks=pytest.mark.slow), "runpod"])
def test_a_run_is_rehearsed_with_a_login_for_a_machine(
    cloud: str, tmp_path: Path, tiny_model: Path, tiny_dataset: Path
) -> None:
    config = write_tiny_run_file(tmp_path / "tiny.yml", tiny_model, tiny_dataset)

    done = rehearse(tmp_path / "rehearsals", cloud, "--config", str(config))

    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "the rented machine is a login of this one, with a home of its own: this machine does not allow" in said
    (run,) = list_runs(next((tmp_path / "rehearsals").iterdir()) / "runs", RealWorld())
    assert (read_json(run.adapter / "acceptance.json") or {})["accepted"]
    receipt = json.loads(run.receipt.read_text())
    assert receipt["checks"]["clouds"] == {cloud: 0}
    assert clean() == []


def test_a_fault_that_needs_more_than_a_login_is_refused_with_the_reason(tmp_path: Path) -> None:
    done = rehearse(tmp_path, "lambda", "--faults", "ssh_never_answers")

    assert done.returncode == 2
    assert "ssh_never_answers needs machines with a network and a disk of their own" in done.stderr
    assert clean() == []
