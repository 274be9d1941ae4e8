"""A base model that comes from the Hub: to the plan, and from there to the rented machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner.run.run_dir import read_json
from tests.rehearsal.conftest import Stage
from tests.rehearsal.test_life import CLOUD_OF_THE_HUB
from tests.rehearsal.watching import HUB_TOKEN
from tests.rehearsal.whole_life import look_at_a_whole_life
from tests.tiny_model import make_tiny_dataset, make_tiny_model

pytestmark = pytest.mark.slow  # it trains for real

NAME = "org/private-model"
MIB = 1 << 20
CUT_AFTER_BYTES = 20 * MIB
TINY = (
    "data.max_length=256",
    "training.max_steps=4",
    "training.learning_rate=5.0e-3",
    "training.gradient_accumulation_steps=2",
    "evaluation.generation_samples=1",
    "evaluation.max_new_tokens=8",
)


def write_hub(folder: Path) -> Path:
    """Write a Hub with one private model, whose weights are cut off on the way, and which is asked too often once."""
    model = make_tiny_model(folder / "models" / NAME)
    _lengthen(model / "model.safetensors", 31 * MIB)
    settings = {
        "private": [NAME],
        "accounts": {HUB_TOKEN: {"name": "me", "reads": [NAME]}},
        "faults": [
            {"kind": "cut", "path": "model.safetensors", "after_bytes": CUT_AFTER_BYTES},
            {"kind": "too_many", "path": f"/api/models/{NAME}", "retry_after_s": 2},
        ],
    }
    (folder / "hub.json").write_text(json.dumps(settings))
    return folder


def _lengthen(weights: Path, size_bytes: int) -> None:
    """Let a file of weights have a tensor that no layer takes."""
    import torch
    from safetensors.torch import load_file, save_file

    more = torch.zeros(size_bytes, dtype=torch.uint8)
    save_file({**load_file(weights), "model.unused": more}, weights, metadata={"format": "pt"})


def log_of(stage: Stage) -> list[dict[str, Any]]:
    lines = (stage.folder / f"r{stage.count}" / "hub-log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_private_model_goes_from_the_hub_to_the_machine(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny_dataset(stage.folder)
    hub = write_hub(stage.folder / "hub")

    look_at_a_whole_life(CLOUD_OF_THE_HUB, (f"model.base_model={NAME}", *TINY), stage, monkeypatch, hub=hub)

    run, log = stage.run(), log_of(stage)
    commit = read_json(run.file("plan.json"))["base_model_commit"]
    config = read_json(run.adapter / "adapter_config.json")
    assert (config["base_model_name_or_path"], config["revision"]) == (NAME, commit)
    gets = [one for one in log if one["method"] == "GET" and one["path"].endswith("model.safetensors")]
    assert [(one["status"], one["fault"]) for one in gets] == [(200, "cut"), (206, None)]
    assert 0 < int(gets[1]["range"].removeprefix("bytes=").rstrip("-")) <= CUT_AFTER_BYTES
    assert [one["status"] for one in log if one["fault"] == "too_many"] == [429]
    assert {one["who"] for one in gets} == {"me"}
    after_plan = [one["path"] for one in log[log.index(gets[0]) :]]
    assert not [path for path in after_plan if "/main/" in path], "the machine asks for the commit alone"
