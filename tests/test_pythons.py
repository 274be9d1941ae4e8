"""The control side on the oldest Python that will do and on a newer one: a real set-up, plan, and word from Ansible."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PROJECT = Path(__file__).resolve().parent.parent
PARTS = ("examples", "infra", "inventories", "playbooks", "requirements", "runner", "trainer")
LARGEST_MB = 160
# The programs of .venv-data have packages of their own.
IMPORT_ALL = """
import importlib, pkgutil, runner
for found in pkgutil.walk_packages(runner.__path__, "runner."):
    if not any(part in found.name for part in ("mulat", "rehearsal", "__main__", "read_rows", "name_files")):
        importlib.import_module(found.name)
"""


@dataclass(frozen=True)
class ControlSide:
    """A checkout with its environment, made by one Python."""

    folder: Path
    ansible_line: str

    def run(self, program: str, *words: str) -> str:
        done = subprocess.run(
            [str(self.folder / ".venv" / "bin" / program), *words],
            cwd=self.folder, env=environment(), capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def environment() -> dict[str, str]:
    """This process's environment without what leads another Python to this one's packages."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def pythons() -> Iterator[tuple[int, str]]:
    """Yield the Pythons of this machine from 3.11 on, by PATH and by pyenv: minor version and program."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    folders = [*map(str, sorted(versions.glob("*/bin"))), *os.environ.get("PATH", "").split(os.pathsep)]
    for minor in range(11, 16):
        found = shutil.which(f"python3.{minor}", path=os.pathsep.join(folders))
        if found is not None:
            done = subprocess.run([found, "-c", "import venv, ensurepip"], capture_output=True, timeout=60)
            if done.returncode == 0:  # a shim of pyenv's on PATH may lead nowhere
                yield minor, found


@pytest.fixture(params=["3.11", "3.12 or newer"])
def control_side(request: pytest.FixtureRequest, tmp_path: Path) -> ControlSide:
    found = dict(pythons())
    newer = min((minor for minor in found if minor >= 12), default=None)
    minor = 11 if request.param == "3.11" else newer
    if minor is None or minor not in found:
        pytest.skip(f"there is no Python {request.param} with venv on PATH or from pyenv")
    folder = tmp_path / "checkout"
    for part in PARTS:
        shutil.copytree(PROJECT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".terraform"))
    for name in ("ansible.cfg", "pyproject.toml", "README.md"):
        shutil.copy(PROJECT / name, folder)
    done = subprocess.run(
        [found[minor], "-m", "runner.bootstrap", "control"],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    if "the package index cannot be reached" in done.stderr:
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    locked = dict(
        re.findall(
            r"^ansible-core==(\d+\.\d+)\.\d+ ; python_full_version (<|>=) '3\.12'",
            (folder / "requirements" / "control.lock").read_text(),
            re.MULTILINE,
        )
    )
    (line,) = (version for version, side in locked.items() if side == ("<" if minor < 12 else ">="))
    return ControlSide(folder, line)


def test_it_sets_itself_up_plans_the_quickstart_and_has_the_ansible_of_its_python(control_side: ControlSide) -> None:
    size = sum(path.lstat().st_blocks * 512 for path in (control_side.folder / ".venv").rglob("*"))
    assert size < LARGEST_MB * 2**20

    control_side.run("python", "-m", "runner", "plan")

    (run,) = (path for path in (control_side.folder / "runs").iterdir() if path.is_dir())
    checks = {line["name"]: line for line in json.loads((run / "plan.json").read_text())["checks"]}
    assert checks["ansible"]["value"].startswith(f"ansible-core {control_side.ansible_line}.")
    assert (run / "plan.html").stat().st_size > 100_000  # its drawing library came with the first page
    assert control_side.run("ansible", "--version").startswith(f"ansible [core {control_side.ansible_line}.")
    for playbook in ("prepare", "verify", "sync"):
        control_side.run("ansible-playbook", "--syntax-check", "-i", "localhost,", f"playbooks/{playbook}.yml")
    interpreter = f"ansible_python_interpreter={control_side.folder}/.venv/bin/python"
    assert '"pong"' in control_side.run(
        "ansible", "all", "-i", "localhost,", "-c", "local", "-e", interpreter, "-m", "ping"
    )
    said = control_side.run("python", "-c", "from runner.adapters.packages import provide; provide('aws', print)")
    assert said == "installing boto3 (needed for AWS and stores on S3)\n"
    control_side.run("python", "-c", IMPORT_ALL)
