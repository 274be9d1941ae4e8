"""Where there is a GPU, the Python that trains has its headers: Triton compiles against them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.errors import PlaybookFailedError
from tests.unit.playbooks.conftest import PLAYBOOKS
from tests.unit.playbooks.parts import run_part

UV = """#!/bin/sh
echo "$1 $2 managed=$UV_MANAGED_PYTHON" >> "$(dirname "$0")/asked"
case "$1 $2" in
  "python find") echo "$(dirname "$0")/python" ;;
  "venv "*) echo "the end of this test" >&2; exit 9 ;;
esac
"""


def test_a_machine_whose_packages_have_no_compiler_is_not_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ansible's apt is not tried here, for this machine is not to be changed; an installed package needs none."""
    install, *_ = [task for task in useful_tasks() if "ansible.builtin.apt" in task]
    variables = {"base_system_useful_packages": ["dpkg"], "base_system_lock_timeout_s": 1}

    run_part(tmp_path, monkeypatch, "base_system", "useful", variables)

    assert install["failed_when"] is False


def useful_tasks() -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = yaml.safe_load((PLAYBOOKS / "roles/base_system/tasks/useful.yml").read_text())
    return tasks


@pytest.mark.parametrize(
    ("lock", "has_headers", "downloads", "asked"),
    [
        ("gpu.lock", False, True, ["python find managed=", "python install managed=1", "venv --no-project managed=1"]),
        ("gpu.lock", False, False, ["python find managed=", "venv --no-project managed="]),
        ("gpu.lock", True, True, ["python find managed=", "venv --no-project managed="]),
        ("cpu.lock", False, True, ["python find managed=", "venv --no-project managed="]),
    ],
)
def test_a_python_without_headers_gives_way_to_one_of_uvs_where_one_may_be_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: str, has_headers: bool, downloads: bool, asked: list[str]
) -> None:
    for name, text in (("uv", UV), ("python", f"#!/bin/sh\nexit {0 if has_headers else 1}\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    variables = {
        "__python_env_uv": str(tmp_path / "uv"),
        "__python_env_environment": {},
        "__python_env_lock": lock,
        "__python_env_venv": str(tmp_path / "venv"),
        "python_env_lock_cpu": "cpu.lock",
        "python_env_prefix": str(tmp_path),
        "python_env_python_downloads": downloads,
    }

    with pytest.raises(PlaybookFailedError, match="Make the virtual environment"):
        run_part(tmp_path, monkeypatch, "python_env", "install", variables)

    assert (tmp_path / "asked").read_text().splitlines() == asked
