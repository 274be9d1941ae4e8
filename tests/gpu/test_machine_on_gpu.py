"""On a machine with an NVIDIA GPU: what the plan and the set-up say of it is what PyTorch finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results import PROJECT
from runner.adapters.machine import LocalMachine
from runner.planning.checks.gpus import check_gpus
from runner.planning.cuda_builds import cuda_builds
from runner.planning.estimate.gpu_specs import find_gpu
from tests.unit.playbooks.conftest import PLAYBOOKS, load
from tests.unit.runner.planning.checks.small_run import make_run
from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.config.recipe import to_mapping
from trainer.events import read_events

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")


def test_the_driver_can_run_a_build_that_is_locked(tmp_path: Path) -> None:
    line = check_gpus(make_run(tmp_path), LocalMachine())

    assert line.status == "pass", line
    assert any(build.needs.partition(" needs")[0] in line.value for build in cuda_builds())


def test_the_table_of_gpus_has_this_ones_capability() -> None:
    found = find_gpu(torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory / 2**30)
    if found is None:
        pytest.skip(f"{torch.cuda.get_device_name()} is not in the table of GPUs")

    assert found.compute_capability == "{}.{}".format(*torch.cuda.get_device_capability())
    assert (found.bf16_tflops is not None) == torch.cuda.is_bf16_supported(including_emulation=False)


def test_the_machine_computes_right_and_triton_compiles() -> None:
    import bitsandbytes  # noqa: F401 - its layer is tried once it is imported

    facts = load(PLAYBOOKS / "files" / "host_facts.py").gpu_facts()

    assert (facts["device"], facts["gpu_problem"], facts["triton_problem"]) == ("cuda", None, None)


def test_a_run_without_a_compiler_says_so_and_has_the_losses_of_one_with(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    with_triton = run(tiny_model, tiny_dataset, tmp_path / "with", os.environ["PATH"])
    without = run(tiny_model, tiny_dataset, tmp_path / "without", "/nowhere")

    assert with_triton["why"] is None
    assert without["why"] == "there is no C compiler (gcc or clang)"
    assert without["losses"] == pytest.approx(with_triton["losses"], rel=2e-2)  # the products are in bfloat16


def run(model: Path, data: Path, folder: Path, path: str) -> dict[str, Any]:
    """Train with these programs and an empty cache of Triton's; return the losses, and why there was no Triton."""
    folder.mkdir()
    config = folder / "recipe.json"
    config.write_text(json.dumps(to_mapping(tiny_recipe(model, data, run={"name": "tiny", "device": "cuda"}))))
    command = [sys.executable, "-m", "trainer", "train", "--config", str(config), "--output", str(folder / "output")]
    environment = {**os.environ, "PATH": path, "TRITON_CACHE_DIR": str(folder / "triton")}
    environment.pop("CC", None)

    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=280)

    assert done.returncode == 0, done.stderr[-3000:]
    events = read_events(folder / "output" / "events.jsonl")
    started = next(event for event in events if event["event"] == "run_started")
    return {"why": started["why_no_triton"], "losses": [e["loss"] for e in events if e["event"] == "step"]}
