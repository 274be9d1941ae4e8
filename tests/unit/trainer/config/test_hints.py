"""What is said of a key that is not known: where it belongs, what it is called here, what is close to it."""

from __future__ import annotations

import pytest

from runner.run.run_file import RunFile
from trainer.config.hints import suggestion
from trainer.config.recipe import RENAMED_KEYS, Recipe


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("run", "save_steps"), "; it belongs to checkpointing: write `checkpointing.save_steps`"),
        (("training", "per_device_eval_batch_size"), "it belongs to evaluation"),
        (("data", "num_epochs"), "it belongs to training: write `training.num_train_epochs`"),
        (("learning_rate",), "it belongs to training: write `training.learning_rate`"),
        (("data", "eval_file"), "; here it is `data.eval_path`"),
        (("training", "cutoff_len"), "; here it is `data.max_length`"),
        (("adapter", "use_dora"), ": DoRA is not offered"),
        (("training", "loraplus_lr_ratio"), ": LoRA+ is not offered"),
        (("adapter", "modules_to_save"), ": whole modules are not trained"),
        (("training", "adapter"), "; it is a section of its own: write it beside `training`, not in it"),
        (("adapter", "lora_rr"), "; did you mean `lora_r`?"),
        (("run", "learning_rat"), "; did you mean `training.learning_rate`?"),
        (("adaptor",), "; did you mean `adapter`?"),
        (("training", "zzz"), "; known here: num_train_epochs, "),
    ],
)
def test_a_key_is_looked_for_in_all_sections_before_a_near_word(path: tuple[str, ...], words: str) -> None:
    assert words in suggestion(Recipe, path, RENAMED_KEYS)


def test_the_sections_of_the_life_cycle_are_looked_through_too() -> None:
    assert suggestion(RunFile, ("training", "max_hours"), RENAMED_KEYS).endswith("write `budget.max_hours`")
