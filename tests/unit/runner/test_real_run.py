"""The real thing on a tiny model: real environment from the lock, real trainer, real kill -9."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_model import write_tiny_run_file
from tests.unit.runner.conftest import PROJECT, Sshd, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.xdist_group("real run")]


@pytest.fixture
def run_file(tmp_path: Path, tiny_model: Path, tiny_dataset: Path) -> Path:
    return write_tiny_run_file(tmp_path / "run.yml", tiny_model, tiny_dataset)


def argv(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "runner", *words, "--runs-dir", str(folder / "runs")]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv(folder, *words), cwd=PROJECT, capture_output=True, text=True, timeout=900)


def trained(folder: Path, *words: str) -> Path:
    done = run(folder, "train", "--config", str(folder / "run.yml"), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return max(path for path in (folder / "runs").iterdir() if path.is_dir())


def sha256_of(run_folder: Path) -> str:
    return hashlib.sha256((run_folder / "adapter" / "adapter_model.safetensors").read_bytes()).hexdigest()


def test_a_killed_trainer_is_resumed_to_the_bytes_that_an_existing_machine_makes_undisturbed(
    run_file: Path, tmp_path: Path, sshd: Sshd
) -> None:
    runner = subprocess.Popen(
        argv(tmp_path, "train", "--config", str(run_file)), cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )

    def runs() -> list[Path]:
        return [path for path in tmp_path.glob("runs/*") if path.is_dir()]

    wait_until(lambda: runs() != [], 120)
    (killed,) = runs()
    events = killed / "box" / "output" / "events.jsonl"
    wait_until(lambda: events.exists() and '"checkpoint_saved"' in events.read_text(), 600)
    os.kill(json.loads((events.parent / "supervisor.json").read_text())["trainer_pid"], signal.SIGKILL)
    _, errors = runner.communicate(timeout=300)
    assert runner.returncode == 1
    assert b"the trainer was killed by signal 9" in errors

    resumed = run(tmp_path, "resume")

    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "going on from step" in resumed.stdout

    undisturbed = trained(
        tmp_path,
        *("--env", "existing", "--host", sshd.host, "--set", f"compute.identity_file={sshd.identity}"),
        *("--set", f"compute.prefix={tmp_path}/there"),
    )

    assert sha256_of(killed) == sha256_of(undisturbed)
    assert json.loads((undisturbed / "host_facts.json").read_text())["versions"]["torch"]
    assert list((tmp_path / "there").iterdir()) == []
