"""Whether a checkpoint may be gone on from with a recipe: the same one, or the same but for its length.

The recipe's models come with the first question: a transfer, which asks none, would take as long to load them as boto3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainer.errors import CheckpointError

if TYPE_CHECKING:
    from trainer.config.recipe import Recipe

LENGTH_KEYS = ("training.max_steps", "training.num_train_epochs")
"""What may differ: optimizer, random state and place in the data go on, and the schedule is that of the new length."""
BATCH_KEYS = ("training.per_device_train_batch_size", "training.gradient_accumulation_steps")
"""Only their product makes a step: ``EFFECTIVE_ROWS``."""
EFFECTIVE_ROWS = "rows in an optimizer step"
MEMORY_KEYS = ("training.gradient_checkpointing",)
"""Decides what is kept and what is computed again, not what comes out: a shortage of memory may turn it on."""
DATA_KEYS = ("data.max_length", "data.packing", "data.assistant_only_loss", "data.max_train_samples")


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """Return what of a recipe decides how a run goes on, by ``section.key``; data and base model have sums."""
    from trainer.config.recipe import to_mapping

    sections = to_mapping(recipe)
    values = {
        f"{section}.{key}": value
        for section in ("model", "adapter", "training")
        for key, value in sections[section].items()
    }
    for key in ("model.base_model", "model.hub_id", *BATCH_KEYS, *MEMORY_KEYS):
        values.pop(key)
    values |= {key: sections["data"][key.partition(".")[2]] for key in DATA_KEYS}
    return values | {"run.seed": recipe.run.seed, EFFECTIVE_ROWS: recipe.effective_batch_rows}


def length_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of ``recipe_values`` decides how long a run is."""
    return {key: values[key] for key in LENGTH_KEYS}


def check_recipe(name: str, was: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """Compare the recipe of a checkpoint with the one that is to go on from it, and return remarks for the log.

    A key that one of them lacks, because it is of another version, has its default there.

    Args:
        name: Name of the checkpoint.
        was: The checkpoint's, as ``recipe_values`` gives it; ``None`` of a version that wrote none.
        now: The recipe to go on with.

    Raises:
        CheckpointError: If a key differs that may not; the message has both values.
    """
    from trainer.config.recipe import Recipe

    if was is None:
        raise CheckpointError(
            f"resume: {name} belongs to another recipe; it is of a version that did not write down which",
            resolution="restore the recipe it was started with, or start a new run",
        )
    defaults = recipe_values(Recipe())
    changed = {key: (was.get(key, defaults.get(key)), now.get(key, defaults.get(key))) for key in sorted({*was, *now})}
    changed = {key: (old, new) for key, (old, new) in changed.items() if old != new}
    refused = [f"{key} was {old}, is {new}" for key, (old, new) in changed.items() if key not in LENGTH_KEYS]
    if refused:
        raise CheckpointError(
            f"resume: {name} belongs to another recipe: {'; '.join(refused)}",
            resolution=f"give it the value it had, or start a new run; {' and '.join(LENGTH_KEYS)} may be raised",
        )
    return [
        f"resume: the run has another length: {key} was {old}, is {new}; the learning rate follows its schedule"
        for key, (old, new) in changed.items()
    ]
