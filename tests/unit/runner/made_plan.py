"""A plan that says nothing of note, for tests to change."""

from __future__ import annotations

from typing import Any

from runner.run.planned import Plan, PlannedMachine

MACHINE = PlannedMachine("gpu_1x_a10", "us-west-1", False, 1.29, 1.5)


def made_plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "environment": "lambda",
        "base_model": "meta-llama/Llama-3.1-8B",
        "model_files": None,
        "model_bytes": 0,
        "train_samples": 1,
        "eval_samples": 1,
        "data": {},
        "disk_needed_gib": 40.25,
        "terraform": "terraform",
        "machines": (MACHINE,),
    }
    return Plan(**values | changes)
