"""What PEFT and TRL refuse, and how many steps there are between two of what a run does now and then."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.trainer.tiny_recipe import tiny_recipe
from tests.unit.trainer.training.small_fit import small_trainer
from trainer.errors import BaseModelError


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize("targets", [["q_proj", "lm_head"], ["nowhere"], ["mlp"], []])
def test_what_takes_no_adapter_ends_in_words_that_name_the_key(
    tiny_model: Path, tiny_dataset: Path, tmp_path: Path, targets: list[str]
) -> None:
    recipe = tiny_recipe(tiny_model, tiny_dataset, adapter={"lora_target_modules": targets})

    with (
        pytest.raises(BaseModelError, match="of this base model is refused") as caught,
        small_trainer(recipe, tmp_path / "output"),
    ):
        pass

    assert "adapter.lora_target_modules" in caught.value.resolution


def test_shares_become_steps_of_the_whole_run(tiny_model: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        tiny_model,
        tiny_dataset,
        evaluation={"eval_steps": 0.5},
        checkpointing={"save_steps": 0.3},
        monitoring={"logging_steps": 0.1},
    )

    with small_trainer(recipe, tmp_path / "output") as (_, trainer):
        assert trainer.total_steps == 12
        assert (trainer.args.eval_steps, trainer.args.save_steps, trainer.args.logging_steps) == (6, 4, 2)
