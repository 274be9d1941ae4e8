"""Which PyTorch a machine gets: its driver decides, before anything is downloaded."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import pytest

from runner.errors import PlaybookFailedError
from runner.planning.cuda_builds import cuda_builds
from tests.unit.playbooks.conftest import PLAYBOOKS
from tests.unit.playbooks.parts import run_part

SMI = """#!/bin/sh
case "$*" in
  -L) echo "GPU 0: NVIDIA A10 (UUID: GPU-8a56a4bc)" ;;
  "--query-gpu=driver_version --format=csv,noheader") echo "{driver}" ;;
  *) exit 2 ;;
esac
"""
CPU = PLAYBOOKS.parent / "requirements" / "trainer-cpu.lock"


def chosen(folder: Path, monkeypatch: pytest.MonkeyPatch, driver: str | None, **changes: Any) -> str:
    """Return the name of the lock that a machine with this driver gets."""
    if driver is not None:
        program = folder / "bin" / "nvidia-smi"
        program.parent.mkdir()
        program.write_text(SMI.format(driver=driver))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    inputs = {
        "python_env_lock_cpu": str(CPU),
        "python_env_lock_uv": str(CPU.with_name("uv.lock")),
        "python_env_locks_gpu": [build.to_role() for build in cuda_builds()],
        "python_env_prefix": str(folder),
    } | changes
    say = {
        "name": "Say",
        "ansible.builtin.copy": {"content": "{{ __python_env_lock }}", "dest": str(folder / "lock"), "mode": "0600"},
    }
    run_part(folder, monkeypatch, "python_env", "preflight", inputs, say)
    return Path((folder / "lock").read_text()).name


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the lock for older drivers is for x86_64 alone")
@pytest.mark.parametrize(
    ("driver", "lock"),
    [
        ("1000.1", "trainer-cuda.lock"),
        ("579.12", "trainer-cuda12.lock"),
        (None, "trainer-cpu.lock"),
    ],
)
def test_the_driver_chooses_the_newest_lock_that_it_can_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str | None, lock: str
) -> None:
    assert chosen(tmp_path, monkeypatch, driver) == lock


def test_a_driver_that_is_too_old_for_all_is_refused_before_anything_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = r"NVIDIA driver 470\.82\.01 is too old: torch .* needs driver .* or newer; .*compute\.driver=install"
    with pytest.raises(PlaybookFailedError, match=words):
        chosen(tmp_path, monkeypatch, "470.82.01")


def test_an_old_driver_is_no_matter_where_the_cpu_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(tmp_path, monkeypatch, "470.82.01", python_env_gpu="absent") == "trainer-cpu.lock"


def test_a_processor_that_only_the_newest_is_built_for_gets_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, *_ = cuda_builds()
    elsewhere = [
        newest.to_role(),
        {"path": str(CPU), "driver_min": "1", "machines": ["other"], "needs": "another processor"},
    ]

    with pytest.raises(PlaybookFailedError, match=rf"is too old: {newest.needs}"):
        chosen(tmp_path, monkeypatch, "550.1", python_env_locks_gpu=elsewhere)
