"""On a machine with an NVIDIA GPU: what is loaded, on which GPU, and what an adapter made there is worth at home."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results import PROJECT
from runner.planning.checks.recipe import check_recipe
from tests.unit.runner.planning.checks.small_run import make_run
from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.config.recipe import to_mapping
from trainer.events import read_events

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")
COUNT_GPUS = (
    "from trainer.environment import use_one_gpu; use_one_gpu(); import torch; print(torch.cuda.device_count())"
)


def run_trainer(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainer", *words]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=280, check=False)


def write_recipe(path: Path, model: Path, data: Path, device: str) -> str:
    path.write_text(json.dumps(to_mapping(tiny_recipe(model, data, run={"name": "tiny", "device": device}))))
    return str(path)


def loaded(recipe: Any, folder: Path) -> Any:
    from trainer.base_model.load import load_base

    return load_base(recipe, str(folder), quantised=True)


def test_an_adapter_made_on_a_gpu_is_accepted_on_a_processor_and_loading_was_reported(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    there, here = (write_recipe(tmp_path / f"{name}.json", tiny_model, tiny_dataset, name) for name in ("cuda", "cpu"))
    output = tmp_path / "output"

    trained = run_trainer("train", "--config", there, "--output", str(output))
    accepted = run_trainer("accept", "--config", here, "--adapter", str(output / "adapter"))

    assert trained.returncode == 0, trained.stderr[-3000:]
    assert accepted.returncode == 0, accepted.stderr[-3000:]
    loading = [event for event in read_events(output / "events.jsonl") if event["event"] == "loading"]
    assert loading
    assert all(event["done"] <= event["total"] for event in loading)
    assert loading[-1]["done"] == loading[-1]["total"] > 0


def test_a_run_sees_one_gpu_of_several() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("this machine has one GPU")

    done = subprocess.run(
        [sys.executable, "-c", COUNT_GPUS], cwd=PROJECT, capture_output=True, text=True, timeout=280, check=True
    )

    assert done.stdout.split() == ["1"]


def test_attention_is_that_of_pytorch_and_another_one_is_refused(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    base = loaded(tiny_recipe(tiny_model, tiny_dataset, run={"name": "tiny", "device": "cuda"}), tiny_model)
    refused = make_run(tmp_path, model={"attn_implementation": "flash_attention_2"})

    assert base.config._attn_implementation == "sdpa"
    assert [check.status for check in check_recipe(refused, None)] == ["fail"]


def test_experts_are_not_quantised_which_is_why_the_plan_refuses_them(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(
        vocab_size=1024, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2,
    )  # fmt: skip
    MixtralForCausalLM(config).save_pretrained(tmp_path / "model")

    base = loaded(
        tiny_recipe(tmp_path / "model", tiny_dataset, run={"name": "tiny", "device": "cuda"}), tmp_path / "model"
    )

    experts = [weight for name, weight in base.named_parameters() if "experts" in name]
    assert experts
    assert all(weight.is_floating_point() for weight in experts), "once they are, they can be planned and trained"
