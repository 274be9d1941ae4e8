"""On a machine with an NVIDIA GPU: the memory that was predicted, and a short run in bfloat16."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.memory_measured import WIDE, Case, gpu_holding, run_child
from benchmarks.results import PROJECT
from runner.planning.estimate.memory import memory_of
from runner.planning.estimate.model_shape import shape_of
from tests.unit.trainer.tiny_recipe import tiny_recipe
from trainer.config.recipe import to_mapping
from trainer.events import read_events

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")
MODEL = WIDE | {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 16, "num_attention_heads": 16}
"""300 million weights: enough for the allocator's pages, of 2 MiB and more, not to count."""


@pytest.mark.parametrize(
    "case",
    [
        Case("", 1024, 4, True),
        Case("", 1024, 4, False),
        Case("", 1024, 2, True, attention="eager"),
        Case("", 512, 8, True, packing=False),
    ],
)
def test_the_prediction_is_within_a_quarter_of_what_was_reserved(case: Case, tiny_model: Path, tmp_path: Path) -> None:
    config = MODEL | {"num_key_value_heads": 4}
    recipe = case.recipe(str(tmp_path / "model"))
    recipe["run"] |= {"device": "cuda"}

    facts = run_child({"recipe": recipe, "config": config, "tokenizer": str(tiny_model)}, tmp_path / "point")

    found = memory_of(shape_of(config), gpu_holding(case), tokens=facts.tokens, rank=16, targets="all-linear")
    assert facts.device == "cuda"
    assert found.total_gib == pytest.approx(facts.peak_gib - facts.process_gib, rel=0.25)


def test_a_short_run_trains_in_bfloat16_and_reports_the_memory_of_the_gpu(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    changes = {"run": {"name": "tiny", "device": "cuda"}, "training": {"optim": "paged_adamw_8bit"}}
    config = tmp_path / "recipe.json"
    config.write_text(json.dumps(to_mapping(tiny_recipe(tiny_model, tiny_dataset, **changes))))
    output = tmp_path / "output"
    command = [sys.executable, "-m", "trainer", "train", "--config", str(config), "--output", str(output)]

    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=280)

    assert done.returncode == 0, done.stderr[-3000:]
    events = read_events(output / "events.jsonl")
    started = next(event for event in events if event["event"] == "run_started")
    steps = [event for event in events if event["event"] == "step"]
    assert (started["device"], started["dtype"]) == ("cuda", "bfloat16")
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert all(0 < step["memory_gib"] < 1 for step in steps)  # of the GPU: the process holds more
    assert (output / "adapter" / "adapter_model.safetensors").is_file()
