"""A checkpoint is gone on from with its own recipe, or with one that differs in its length alone."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from trainer.checkpoints.recipes import check_recipe, recipe_values
from trainer.config.recipe import Recipe
from trainer.errors import CheckpointError


def values(**training: Any) -> dict[str, Any]:
    return recipe_values(Recipe.model_validate({"training": training}))


def test_the_same_recipe_has_nothing_to_say() -> None:
    assert check_recipe("checkpoint-4", values(max_steps=4), values(max_steps=4)) == []


@pytest.mark.parametrize(("key", "old", "new"), [("max_steps", 4, 8), ("num_train_epochs", 1.0, 3.0)])
def test_another_length_is_remarked_on_with_both_values(key: str, old: float, new: float) -> None:
    (remark,) = check_recipe("checkpoint-4", values(**{key: old}), values(**{key: new}))

    assert f"training.{key} was {old}, is {new}" in remark


def test_every_other_key_that_differs_is_named_with_both_values() -> None:
    with pytest.raises(CheckpointError) as caught:
        check_recipe(
            "checkpoint-4", values(learning_rate=1e-4), values(learning_rate=1e-3, weight_decay=0.1, max_steps=8)
        )

    assert caught.value.message == (
        "resume: checkpoint-4 belongs to another recipe: training.learning_rate was 0.0001, is 0.001; "
        "training.weight_decay was 0.0, is 0.1"
    )
    assert "training.max_steps" in caught.value.resolution


def test_the_rows_of_a_step_count_and_how_they_are_split_does_not() -> None:
    whole = values(per_device_train_batch_size=1, gradient_accumulation_steps=4)

    assert check_recipe("a", whole, values(per_device_train_batch_size=4, gradient_accumulation_steps=1)) == []
    with pytest.raises(CheckpointError, match="rows in an optimizer step was 4, is 2"):
        check_recipe("a", whole, values(per_device_train_batch_size=2, gradient_accumulation_steps=1))


def test_a_key_that_an_older_version_did_not_have_counts_as_its_default() -> None:
    older = values()
    del older["training.weight_decay"]

    assert check_recipe("a", older, values()) == []
    with pytest.raises(CheckpointError, match=r"weight_decay was 0\.0, is 0\.5"):
        check_recipe("a", older, values(weight_decay=0.5))


def test_a_checkpoint_without_its_recipe_cannot_be_compared() -> None:
    with pytest.raises(CheckpointError, match="of a version that did not write down which"):
        check_recipe("checkpoint-4", None, values())


def test_a_measure_against_a_shortage_of_memory_may_differ() -> None:
    large = values(per_device_train_batch_size=4, gradient_accumulation_steps=1, gradient_checkpointing=False)
    small = values(per_device_train_batch_size=1, gradient_accumulation_steps=4, gradient_checkpointing=True)

    assert check_recipe("checkpoint-4", large, small) == []


def test_a_transfer_does_not_wait_for_the_models_of_a_recipe() -> None:
    code = "import sys, trainer.checkpoints.pull, trainer.checkpoints.push; sys.exit('pydantic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
