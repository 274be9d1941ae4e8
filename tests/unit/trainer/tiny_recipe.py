"""A recipe that trains the tiny model in seconds, and its parts for tests that need less than a whole run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer.config.recipe import Recipe


def tiny_recipe(model_folder: Path, data_folder: Path, **sections: dict[str, Any]) -> Recipe:
    """Return a recipe for the tiny model and data set; each keyword adds to, or overrides in, one section."""
    values: dict[str, dict[str, Any]] = {
        "run": {"name": "tiny", "device": "cpu"},
        "model": {"base_model": str(model_folder)},
        "data": {
            "train_path": str(data_folder / "train.jsonl"),
            "eval_path": str(data_folder / "eval.jsonl"),
            "max_length": 256,
        },
        "training": {
            "learning_rate": 5e-3,
            "max_steps": 12,
            "gradient_accumulation_steps": 2,
            "gradient_checkpointing": False,
        },
        "evaluation": {
            "eval_strategy": "steps",
            "eval_steps": 6,
            "generation_samples": 2,
            "max_new_tokens": 8,
        },
        "checkpointing": {"save_steps": 3},
        "monitoring": {"tensorboard": False},
    }
    for section, keys in sections.items():
        values.setdefault(section, {}).update(keys)
    return Recipe.model_validate(values)
