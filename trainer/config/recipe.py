"""The recipe: what to train, on what, how. Frozen, unknown keys refused, imports no torch.

Key names are those of the libraries (``lora_r``, ``per_device_train_batch_size``, ``max_length``). Where a library
has renamed a key, the older spelling is read too and the newer one is written; see ``RENAMED_KEYS``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, model_validator

from trainer.config.file import read_mapping, validate
from trainer.config.paths import WeightedPath, absolute_path, absolute_paths, is_local_model
from trainer.config.section import Section
from trainer.config.sections import (
    AdapterSection,
    ArtifactsSection,
    CheckpointingSection,
    DataSection,
    EvaluationSection,
    ModelSection,
    MonitoringSection,
    PublishingSection,
    RunSection,
    TrainingSection,
)

RENAMED_KEYS: dict[str, dict[str, str]] = {
    "model": {
        "model_name_or_path": "base_model",
        "torch_dtype": "dtype",
        "bnb_4bit_use_double_quantization": "bnb_4bit_use_double_quant",
        "model_revision": "revision",
    },
    "adapter": {
        "r": "lora_r",
        "lora_rank": "lora_r",
        "alpha": "lora_alpha",
        "dropout": "lora_dropout",
        "target_modules": "lora_target_modules",
    },
    "data": {"max_seq_length": "max_length", "max_seq_len": "max_length", "sequence_len": "max_length"},
    "training": {
        "micro_batch_size": "per_device_train_batch_size",
        "num_epochs": "num_train_epochs",
        "optimizer": "optim",
        "activation_checkpointing": "gradient_checkpointing",
        "lr_scheduler": "lr_scheduler_type",
    },
    "evaluation": {"evaluation_strategy": "eval_strategy"},
    "checkpointing": {"save_strategy_steps": "save_steps"},
}
"""Older or other spellings by section; both are read, the right-hand one is written."""


class Recipe(Section):
    """Everything the trainer needs to know, in ten sections."""

    run: RunSection = RunSection()
    model: ModelSection = ModelSection()
    adapter: AdapterSection = AdapterSection()
    data: DataSection = DataSection()
    training: TrainingSection = TrainingSection()
    evaluation: EvaluationSection = EvaluationSection()
    checkpointing: CheckpointingSection = CheckpointingSection()
    artifacts: ArtifactsSection = ArtifactsSection()
    publishing: PublishingSection = PublishingSection()
    monitoring: MonitoringSection = MonitoringSection()

    @model_validator(mode="after")
    def _check_across_fields(self) -> Recipe:
        """Refuse what no single field can see."""
        if self.evaluation.eval_strategy == "steps" and self.evaluation.eval_steps is None:
            raise ValueError("evaluation.eval_steps is missing, and eval_strategy is steps: set a number of steps")
        if self.evaluation.eval_strategy != "steps" and self.evaluation.eval_steps is not None:
            raise ValueError(
                f"evaluation.eval_steps is {self.evaluation.eval_steps}, but eval_strategy is "
                f"{self.evaluation.eval_strategy}: set `eval_strategy: steps`, or leave eval_steps out"
            )
        if isinstance(self.data.eval_path, list):
            heavy = [one for one in self.data.eval_path if isinstance(one, WeightedPath) and one.weight != 1.0]
            if heavy:
                raise ValueError(
                    f"data.eval_path gives {heavy[0].path} a weight, and what is evaluated on has none: leave it out"
                )
        if self.evaluation.early_stopping_patience is not None and self.evaluation.eval_strategy == "no":
            raise ValueError(
                f"evaluation.early_stopping_patience is {self.evaluation.early_stopping_patience}, but eval_strategy "
                "is no: set `eval_strategy: epoch` or `steps`"
            )
        if self.model.revision is not None and self.model.base_model.startswith("pypi:"):
            raise ValueError(f"model.revision is {self.model.revision}, but base_model comes as a Python package")
        return self

    @property
    def effective_batch_rows(self) -> int:
        """Rows in one optimizer step on one device."""
        return self.training.micro_batch_rows * self.training.accumulation


def load_recipe(path: Path) -> Recipe:
    """Read a recipe file (YAML or JSON) and resolve its relative paths.

    Raises:
        ConfigError: If the file cannot be read, or a key, type or combination is refused.
    """
    source = read_mapping(path)
    recipe = validate(Recipe, source, renamed=RENAMED_KEYS)
    return resolve_paths(recipe, path.parent)


def resolve_paths(recipe: Recipe, folder: Path) -> Recipe:
    """Return ``recipe`` with data and model paths made absolute, starting at ``folder``."""

    def absolute(value: str | None) -> str | None:
        return None if value is None else absolute_path(value, folder)

    data = recipe.data.model_copy(
        update={
            "train_path": absolute_paths(recipe.data.train_path, folder),
            "eval_path": None if recipe.data.eval_path is None else absolute_paths(recipe.data.eval_path, folder),
            "chat_template_path": absolute(recipe.data.chat_template_path),
        }
    )
    model = recipe.model
    if is_local_model(model.base_model, folder):
        model = model.model_copy(update={"base_model": absolute(model.base_model)})
    return recipe.model_copy(update={"data": data, "model": model})


def to_mapping(recipe: BaseModel) -> dict[str, Any]:
    """Return the recipe as plain data, every default written out."""
    return recipe.model_dump(mode="json")
