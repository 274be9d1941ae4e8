"""The tests of a GPU run where trainers do: with what a trainer is installed with, and pytest."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
WITHOUT = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None
import tests.conftest, tests.gpu.conftest
"""


def locked(name: str) -> set[str]:
    text = (PROJECT / "requirements" / name).read_text(encoding="utf-8")
    return {found.lower().replace("_", "-") for found in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}


def test_what_all_tests_share_asks_for_nothing_that_a_trainer_and_pytest_are_without() -> None:
    there = locked("trainer-cuda.lock") | {"pytest", "pytest-timeout", "pluggy", "iniconfig", "packaging", "pygments"}
    absent = {
        module
        for module, names in packages_distributions().items()
        if not {name.lower().replace("_", "-") for name in names} & there
    }
    assert {"hypothesis", "moto"} <= absent

    program = [sys.executable, "-c", WITHOUT, ",".join(sorted(absent))]
    done = subprocess.run(program, cwd=PROJECT, capture_output=True, text=True, timeout=120)

    assert (done.returncode, done.stderr) == (0, "")
