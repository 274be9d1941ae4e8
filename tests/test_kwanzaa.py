"""A real chat data set of 107 + 27 long samples, through the whole life of a run, as its example file says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
DATA = PROJECT.parent / "shared" / "data" / "kwanzaa"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(not DATA.is_dir(), reason="no Kwanzaa data beside the project; it is not part of it"),
]


def test_the_kwanzaa_example_trains_an_accepted_adapter(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "runner", "train", "--config", "examples/kwanzaa.yml", "--data", str(DATA)]
    shorter = ["training.max_steps=1", "training.learning_rate=1.0e-3", "training.gradient_accumulation_steps=1"]
    shorter += [
        "data.max_length=1024",
        "checkpointing.save_steps=1",
        "evaluation.max_eval_samples=1",
        "evaluation.generation_samples=1",
        "evaluation.max_new_tokens=8",
    ]

    done = subprocess.run(
        [*command, "--runs-dir", str(tmp_path / "runs"), *(word for one in shorter for word in ("--set", one))],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=2300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    metrics = json.loads((run / "adapter" / "metrics.json").read_text())
    plan = json.loads((run / "plan.json").read_text())
    assert (plan["train_samples"], plan["eval_samples"]) == (107, 27)
    assert json.loads((run / "adapter" / "acceptance.json").read_text())["accepted"]
    assert metrics["eval"]["adapter_4bit"]["loss"] < metrics["eval"]["base_4bit"]["loss"]
    assert not (run / "box").exists()
