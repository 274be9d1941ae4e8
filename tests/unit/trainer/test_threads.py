"""Threads that wait for one another sleep before they starve one another."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.threads import SPIN_COUNT, let_waiting_threads_sleep

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
FIRST_TORCH = """
import os, sys
class Door:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            sys.exit("torch, waiting " + os.environ.get("GOMP_SPINCOUNT", "as it likes"))
sys.meta_path.insert(0, Door())
from trainer.__main__ import main
main(sys.argv[1:])
"""


def environment(**said: str) -> dict[str, str]:
    """Return this process's environment, in which the user says only this about waiting."""
    return {name: value for name, value in os.environ.items() if name not in WAITING} | said


@pytest.mark.parametrize(
    ("said", "spin_count"),
    [
        ({}, SPIN_COUNT),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, None),
        ({"OMP_NUM_THREADS": "3"}, SPIN_COUNT),
    ],
)
def test_the_user_has_the_last_word_on_waiting(
    said: dict[str, str], spin_count: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", environment(**said))

    let_waiting_threads_sleep()

    assert os.environ.get("GOMP_SPINCOUNT") == spin_count


@pytest.mark.parametrize("command", [["train", "--output"], ["accept", "--adapter"]])
def test_it_is_said_before_torch_is_loaded(command: list[str], tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(tiny_recipe(tmp_path, tmp_path).model_dump_json(), encoding="utf-8")
    argv = [
        sys.executable,
        "-c",
        FIRST_TORCH,
        command[0],
        "--config",
        str(recipe),
        command[1],
        str(tmp_path / "folder"),
    ]

    done = subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=60, check=False)

    assert done.stderr.splitlines()[-1:] == [f"torch, waiting {SPIN_COUNT}"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere PyTorch comes with another OpenMP")
def test_the_openmp_that_comes_with_torch_listens() -> None:
    torch = find_spec("torch")
    assert torch is not None
    assert torch.origin is not None
    library = Path(torch.origin).parent / "lib" / "libgomp.so.1"
    code = f"import ctypes; from trainer.threads import *; let_waiting_threads_sleep(); ctypes.CDLL({str(library)!r})"
    shown = environment(OMP_DISPLAY_ENV="VERBOSE")

    done = subprocess.run(
        [sys.executable, "-c", code], env=shown, capture_output=True, text=True, timeout=60, check=True
    )

    assert f"GOMP_SPINCOUNT = '{SPIN_COUNT}'" in done.stderr
