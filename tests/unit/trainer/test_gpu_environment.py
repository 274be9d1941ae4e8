"""What PyTorch reads before it starts CUDA is in the environment before it is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.gpu_environment import ALLOCATOR, prepare_gpu_environment

NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG")
SHOW_BEFORE_TORCH = """
import json, os, sys
class Door:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            sys.exit(json.dumps(dict(os.environ)))
sys.meta_path.insert(0, Door())
from trainer.__main__ import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("said", "deterministic", "allocator", "workspace"),
    [
        ({}, False, ALLOCATOR, None),
        ({}, True, ALLOCATOR, ":4096:8"),
        ({"PYTORCH_ALLOC_CONF": "max_split_size_mb:64"}, False, "max_split_size_mb:64", None),
        ({"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64"}, False, None, None),
        ({"CUBLAS_WORKSPACE_CONFIG": ":16:8"}, True, ALLOCATOR, ":16:8"),
        ({"CUBLAS_WORKSPACE_CONFIG": ":0:0"}, True, ALLOCATOR, ":4096:8"),  # PyTorch would end the run
        ({"CUBLAS_WORKSPACE_CONFIG": ":0:0"}, False, ALLOCATOR, ":0:0"),
    ],
)
def test_the_allocator_is_the_users_and_a_deterministic_run_has_its_workspace(
    said: dict[str, str],
    deterministic: bool,
    allocator: str | None,
    workspace: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", dict(said))

    prepare_gpu_environment(deterministic=deterministic)

    assert (os.environ.get("PYTORCH_ALLOC_CONF"), os.environ.get("CUBLAS_WORKSPACE_CONFIG")) == (allocator, workspace)


@pytest.mark.parametrize("command", [["train", "--output"], ["accept", "--adapter"]])
def test_it_is_set_before_torch_is_imported(command: list[str], tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text(tiny_recipe(tmp_path, tmp_path, run={"deterministic": True}).model_dump_json(), encoding="utf-8")
    argv = [command[0], "--config", str(recipe), command[1], str(tmp_path / "folder")]
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}

    done = subprocess.run(
        [sys.executable, "-c", SHOW_BEFORE_TORCH, *argv], env=environment, capture_output=True, text=True, timeout=60
    )

    found = json.loads(done.stderr.splitlines()[-1])
    assert (found["PYTORCH_ALLOC_CONF"], found["CUBLAS_WORKSPACE_CONFIG"]) == (ALLOCATOR, ":4096:8")
