"""prepare.yml and verify.yml as a rented machine gets them, on this machine: twice, and without a GPU."""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.adapters import packages
from runner.adapters.ansible import PlaybookRun, run_playbook
from runner.errors import PlaybookFailedError
from runner.world import RealWorld
from tests.unit.playbooks.conftest import PLAYBOOKS
from tests.unit.playbooks.test_roles import INVENTORY, lease_variables


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "box"
    yield folder
    pid = folder / "lease" / "pid"
    if pid.exists():
        os.kill(int(pid.read_text()), signal.SIGKILL)


def gpu_lock(path: Path, driver_min: str = "580") -> dict[str, Any]:
    """Return a lock for NVIDIA GPUs as the role takes it."""
    return {"path": str(path), "driver_min": driver_min, "machines": [platform.machine()], "needs": "needs newer"}


def variables(box: Path) -> dict[str, Any]:
    lock = box.parent / "tiny.lock"
    lock.write_text("")  # an empty lock installs nothing, with the very same tasks
    uv = Path(sys.executable).parent / "uv"
    return lease_variables(box) | {
        "base_system_disk_gib": 0.1,
        "base_system_prefix": str(box),
        "base_system_python_min": "3.8",
        "lease_enabled": True,
        "nvidia_driver_mode": "none",
        "python_env_bootstrap": str(PLAYBOOKS.parent / "runner" / "bootstrap.py"),
        "python_env_cache": str(box.parent / "cache"),
        "python_env_gpu": "absent",
        "python_env_lock_cpu": str(lock),
        "python_env_locks_gpu": [gpu_lock(lock)],
        "python_env_lock_uv": str(PLAYBOOKS.parent / "requirements" / "uv.lock"),
        "python_env_prefix": str(box),
        "python_env_uv": str(uv) if uv.exists() else "",
        "trainer_app_prefix": str(box),
        "verify_facts_path": str(box.parent / "host_facts.json"),
        "verify_modules": [],
        "verify_prefix": str(box),
    }


def run(name: str, inputs: dict[str, Any], log: Path) -> PlaybookRun:
    return run_playbook(name, inventory=INVENTORY, environment="local", variables=inputs, world=RealWorld(), log=log)


def test_the_lease_comes_right_after_the_base_and_before_anything_takes_long() -> None:
    roles = [entry["role"] for entry in yaml.safe_load((PLAYBOOKS / "prepare.yml").read_text())[0]["roles"]]

    assert roles == ["base_system", "lease", "nvidia_driver", "python_env", "trainer_app", "monitoring"]


def test_a_second_prepare_changes_nothing_and_verify_reports_the_environments_digest(box: Path) -> None:
    inputs, log = variables(box), box.parent / "log"
    inputs["trainer_app_wheel"] = str(packages.build_wheel(box.parent / "wheel"))
    inputs["python_env_lock_rclone"] = inputs["python_env_lock_cpu"]

    first, second = run("prepare.yml", inputs, log), run("prepare.yml", inputs, log)
    run("verify.yml", inputs | {"verify_require_gpu": False}, log)

    assert (first.changed > 0, second.changed) == (True, 0)
    assert (box / "venv" / "bin" / "python").exists()
    assert (box / "rclone" / "bin" / "python").exists()
    assert len(list((box / "venv").rglob("site-packages/trainer/__main__.py"))) == 1
    assert Path(f"/proc/{(box / 'lease' / 'pid').read_text()}").exists()
    facts = json.loads((box.parent / "host_facts.json").read_text())
    recorded = json.loads((box / "setup" / "environment.json").read_text())
    assert facts["environment_digest"] == recorded["digest"]
    assert (len(facts["environment_digest"]), facts["environment_packages"]) == (64, [])
    assert facts["python"].startswith("3.11.")
    with pytest.raises(PlaybookFailedError, match="Check that every module can be imported"):
        run("verify.yml", inputs | {"verify_modules": ["no_such"]}, log)
    with pytest.raises(PlaybookFailedError, match="dead GPU: a GPU was rented, but torch"):
        run("verify.yml", inputs | {"verify_require_gpu": True}, log)
