"""On a machine with an NVIDIA GPU: number formats, determinism, memory that is short, and what is let go of."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results import PROJECT
from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.checkpoints.complete import SCALER, list_newest_first
from trainer.config.recipe import to_mapping
from trainer.events import read_events
from trainer.files import sha256_of_file

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")
ADAPTER = "adapter/adapter_model.safetensors"
SHORT_OF_MEMORY = """
import sys
from trl import SFTTrainer
from trainer.__main__ import main
import torch
whole = SFTTrainer.training_step
def training_step(trainer, model, inputs, *rest):
    if inputs["input_ids"].numel() > 256:
        torch.empty(2**50, dtype=torch.uint8, device="cuda")  # a shortage of CUDA's own
    return whole(trainer, model, inputs, *rest)
SFTTrainer.training_step = training_step
sys.exit(main(sys.argv[1:]))"""


def write_recipe(model: Path, data: Path, folder: Path, **sections: dict[str, Any]) -> Path:
    device = {"run": {"name": "tiny", "device": "cuda", **sections.pop("run", {})}}
    config = folder / "recipe.json"
    config.write_text(json.dumps(to_mapping(tiny_recipe(model, data, **device, **sections))))
    return config


def start_trainer(config: Path, output: Path, *words: str, program: tuple[str, ...] = ("-m", "trainer")) -> int:
    command = [sys.executable, *program, "train", "--config", str(config), "--output", str(output), *words]
    return subprocess.run(command, cwd=PROJECT, timeout=280, check=False).returncode


def events_of(output: Path, name: str) -> list[dict[str, Any]]:
    return [event for event in read_events(output / "events.jsonl") if event["event"] == name]


def test_a_run_in_float16_is_accepted_and_its_checkpoints_hold_the_scaler(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    config = write_recipe(tiny_model, tiny_dataset, tmp_path, model={"dtype": "float16"})

    assert start_trainer(config, tmp_path / "output") == 0

    assert events_of(tmp_path / "output", "run_started")[0]["dtype"] == "float16"
    assert all((path / SCALER).is_file() for path in list_newest_first(tmp_path / "output" / "checkpoints"))
    assert all(step["skipped_steps"] is not None for step in events_of(tmp_path / "output", "step"))


def test_a_deterministic_run_gives_the_same_bytes_twice(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    config = write_recipe(tiny_model, tiny_dataset, tmp_path, run={"deterministic": True})

    assert [start_trainer(config, tmp_path / name) for name in ("one", "two")] == [0, 0]

    assert sha256_of_file(tmp_path / "one" / ADAPTER) == sha256_of_file(tmp_path / "two" / ADAPTER)


def test_a_shortage_of_cudas_own_is_recognised_and_the_run_goes_on_with_fewer_rows(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    from trainer.errors import EXIT_RESTART

    rows = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 1}
    config, output = write_recipe(tiny_model, tiny_dataset, tmp_path, training=rows), tmp_path / "output"
    short = ("-c", SHORT_OF_MEMORY)

    assert start_trainer(config, output, program=short) == EXIT_RESTART
    assert start_trainer(config, output, "--resume", program=short) == 0

    (shortage,) = events_of(output, "out_of_memory")
    assert "out of memory" in shortage["message"]
    assert shortage["measure"] == "micro-batches of 1 row instead of 2"


def test_nothing_of_a_model_stays_on_the_gpu_after_training_with_an_8_bit_optimizer(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    from trainer.config.recipe import load_recipe
    from trainer.training.phases import train

    config = write_recipe(tiny_model, tiny_dataset, tmp_path, training={"optim": "paged_adamw_8bit"})
    train(load_recipe(config), tmp_path / "output", resume=False)
    gc.collect()
    torch.cuda.empty_cache()

    assert torch.cuda.memory_allocated() < 1 << 20
