from __future__ import annotations

from pathlib import Path

import pytest

from trainer.config.recipe import RENAMED_KEYS, Recipe, load_recipe, to_mapping
from trainer.errors import EXIT_USAGE, ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(folder, text))
    assert caught.value.exit_code == EXIT_USAGE
    assert "\n" not in caught.value.message
    assert caught.value.resolution
    return caught.value


def test_defaults_are_those_a_beginner_can_trust() -> None:
    recipe = Recipe()

    assert recipe.model.load_in_4bit
    assert (recipe.model.bnb_4bit_quant_type, recipe.model.bnb_4bit_use_double_quant) == ("nf4", True)
    assert (recipe.adapter.lora_r, recipe.adapter.lora_alpha, recipe.adapter.lora_dropout) == (16, 32, 0.05)
    assert recipe.adapter.lora_target_modules == "all-linear"
    assert (recipe.training.learning_rate, recipe.training.lr_scheduler_type) == (2e-4, "cosine")
    assert recipe.training.warmup_ratio == 0.03
    assert (recipe.data.max_length, recipe.data.packing, recipe.data.assistant_only_loss) == (2048, True, True)
    assert recipe.training.gradient_checkpointing
    assert (recipe.training.per_device_train_batch_size, recipe.training.micro_batch_rows) == ("auto", 1)
    assert recipe.effective_batch_rows == 16
    assert recipe.training.num_train_epochs <= 2
    assert not recipe.monitoring.telemetry


def test_every_key_is_documented() -> None:
    undocumented = [
        f"{section}.{key}"
        for section, field in Recipe.model_fields.items()
        for key, inner in field.annotation.model_fields.items()  # type: ignore[union-attr]
        if not inner.description
    ]

    assert undocumented == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("adapter:\n  lora_rr: 8\n", ["recipe.yml:2", "adapter.lora_rr", "did you mean `lora_r`?"]),
        ("adaptor:\n  lora_r: 8\n", ["recipe.yml:1", "adaptor", "did you mean `adapter`?"]),
        ("training:\n  zzz: 8\n", ["training.zzz", "known here", "learning_rate"]),
        ("adapter:\n  lora_r: sixteen\n", ["recipe.yml:2", "adapter.lora_r", "'sixteen'"]),
        ("adapter:\n  lora_r: 0\n", ["adapter.lora_r", "greater than or equal to 1"]),
        ("adapter:\n  lora_alpha: 0\n", ["adapter.lora_alpha"]),
        ("adapter:\n  lora_dropout: 1.0\n", ["adapter.lora_dropout", "less than 1"]),
        ("adapter:\n  lora_target_modules: 7\n", ["adapter.lora_target_modules"]),
        ("run:\n  name: My Run\n", ["run.name", "'My Run'"]),
        ("run:\n  seed: -1\n", ["run.seed"]),
        ("run:\n  device: tpu\n", ["run.device", "'tpu'"]),
        ("model:\n  base_model: ''\n", ["model.base_model"]),
        ("model:\n  dtype: int3\n", ["model.dtype", "'int3'"]),
        ("model:\n  bnb_4bit_quant_type: nf5\n", ["model.bnb_4bit_quant_type"]),
        ("data:\n  max_length: 4\n", ["data.max_length", "greater than or equal to 16"]),
        ("data:\n  eval_fraction: 0.5\n", ["data.eval_fraction"]),
        ("data:\n  max_train_samples: 0\n", ["data.max_train_samples"]),
        ("data:\n  format: csv\n", ["data.format", "'csv'"]),
        ("training:\n  learning_rate: 0\n", ["training.learning_rate"]),
        ("training:\n  warmup_ratio: 1.0\n", ["training.warmup_ratio"]),
        ("training:\n  num_train_epochs: 0\n", ["training.num_train_epochs"]),
        ("training:\n  max_steps: 0\n", ["training.max_steps"]),
        ("training:\n  gradient_accumulation_steps: 0\n", ["gradient_accumulation_steps is 0: give a whole number"]),
        ("training:\n  gradient_accumulation_steps: much\n", ["gradient_accumulation_steps is 'much'", "or `auto`"]),
        ("training:\n  per_device_train_batch_size: 0\n", ["per_device_train_batch_size is 0: give a whole number"]),
        ("training:\n  per_device_train_batch_size: all\n", ["per_device_train_batch_size is 'all'", "or `auto`"]),
        ("training:\n  per_device_train_batch_size: true\n", ["per_device_train_batch_size is True"]),
        ("training:\n  per_device_train_batch_size: 1.5\n", ["per_device_train_batch_size is 1.5"]),
        ("training:\n  max_grad_norm: 0\n", ["training.max_grad_norm"]),
        ("training:\n  weight_decay: -0.1\n", ["training.weight_decay"]),
        ("training:\n  optim: sgd\n", ["training.optim", "'sgd'"]),
        ("evaluation:\n  generation_samples: 0\n", ["evaluation.generation_samples"]),
        ("evaluation:\n  eval_strategy: steps\n", ["evaluation.eval_steps is missing"]),
        ("evaluation:\n  eval_steps: 5\n", ["evaluation.eval_steps is 5", "eval_strategy is epoch"]),
        ("training:\n  warmup_steps: -1\n", ["training.warmup_steps"]),
        ("training:\n  neftune_noise_alpha: 0\n", ["training.neftune_noise_alpha"]),
        ("training:\n  lr_scheduler_type: greedy\n", ["training.lr_scheduler_type", "'warmup_stable_decay'"]),
        ("training:\n  min_lr_ratio: 0.1\n", ["training.min_lr_ratio is 0.1, but lr_scheduler_type is cosine"]),
        ("training:\n  decay_ratio: 0.1\n  lr_scheduler_type: linear\n", ["training.decay_ratio is 0.1, but"]),
        (
            "evaluation:\n  eval_strategy: no\n  early_stopping_patience: 2\n",
            ["evaluation.early_stopping_patience is 2, but eval_strategy is no"],
        ),
        ("evaluation:\n  early_stopping_patience: 0\n", ["evaluation.early_stopping_patience"]),
        ("checkpointing:\n  save_steps: 0\n", ["checkpointing.save_steps"]),
        ("monitoring:\n  logging_steps: 0\n", ["monitoring.logging_steps"]),
        ("model:\n  revision: abc\n", ["model.revision is abc", "Python package"]),
        (
            "training:\n  num_train_epochs: .inf\n",
            ["num_train_epochs is inf: input should be a finite"],
        ),
        ("training:\n  max_grad_norm: .nan\n", ["training.max_grad_norm is nan"]),
        ("training:\n  weight_decay: inf\n", ["training.weight_decay is 'inf'", "finite"]),
        ("training:\n  num_train_epochs: 1e300\n", ["training.num_train_epochs", "at most 1e+15"]),
        (f"training:\n  max_steps: 0x{'f' * 5000}\n", ["training.max_steps is a number of thousands of digits"]),
        (
            "training:\n  gradient_accumulation_steps: true\n",
            ["accumulation_steps is True: give a whole number"],
        ),
        ("training:\n  learning_rate: yes\n", ["training.learning_rate is True: true and false are no values"]),
        ("training:\n  max_steps: false\n", ["training.max_steps is False: true and false are no values"]),
        ("data:\n  max_train_samples: no\n", ["data.max_train_samples is False"]),
        ("checkpointing:\n  save_steps: 1.5\n", ["checkpointing.save_steps is 1.5: give a whole number of steps"]),
        ("adapter:\n  lora_target_modules: '(q_proj'\n", ["'(q_proj': a regular expression that cannot be read"]),
        ("1: 2\n", ["recipe.yml:1 1 is not a known key"]),
        ("run:\n  no: 2\n", ["run.False is not a known key"]),
        ("run: {name: a}\n? [b]\n: 1\n", ["not valid YAML", "unhashable key"]),
        ("run:\n\tname: a\n", ["recipe.yml:2", "not valid YAML", "cannot start any token"]),
        ("run: {name: \0}\n", ["not valid YAML: it holds the character U+0000"]),
        ("a: &a {b: *a}\n", ["not valid YAML: it is nested too deeply"]),
        (f"run:\n  seed: 1{'0' * 5000}\n", ["recipe.yml:2 is not valid YAML: this value cannot be read"]),
        ("training: 7\n", ["training is 7: give the keys of this section below it"]),
        ("model:\n  hub_id: mine\n", ["recipe.yml:2 model.hub_id is 'mine': ", "`org/name`"]),
        ("model:\n  hub_id: https://huggingface.co/org/name\n", ["model.hub_id", "`org/name`"]),
        ("", ["is empty"]),
        ("- a\n- b\n", ["holds a list"]),
        ("run: {name: a\n", ["recipe.yml:", "not valid YAML"]),
        ("run:\n  seed: 1\n  seed: 2\n", ["recipe.yml:3", "run.seed is given twice", "line 2"]),
    ],
)
def test_bad_recipes_are_refused_with_key_value_and_line(tmp_path: Path, text: str, words: list[str]) -> None:
    error = refusal(tmp_path, text)

    assert [word for word in words if word not in error.message] == []


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.yml: No such file"):
        load_recipe(tmp_path / "nowhere.yml")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match="not UTF-8"):
        load_recipe(tmp_path / "recipe.yml")


def test_several_problems_are_counted_and_listed(tmp_path: Path) -> None:
    error = refusal(tmp_path, "adapter:\n  lora_r: 0\n  lora_alpha: 0\n")

    assert error.message.endswith("(and 1 more)")
    assert error.details is not None
    assert len(error.details.splitlines()) == 2
    assert [line.partition(" ")[2][:20] for line in error.lines] == ["adapter.lora_alpha i"]


def test_problems_are_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    error = refusal(tmp_path, "monitoring:\n  zzz: 1\nrun:\n  zzz: 1\n  seed: -1\n")

    assert "recipe.yml:2" in error.message
    assert [line.partition("recipe.yml:")[2][0] for line in error.lines] == ["4", "5"]


@pytest.mark.parametrize(
    ("section", "old", "new"),
    [(section, old, new) for section, keys in RENAMED_KEYS.items() for old, new in keys.items()],
)
def test_older_spellings_name_a_key_of_today(section: str, old: str, new: str) -> None:
    fields = Recipe.model_fields[section].annotation.model_fields  # type: ignore[union-attr]

    assert new in fields
    assert old not in fields


def test_an_older_spelling_is_read_and_todays_is_written(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "data:\n  max_seq_length: 512\n"))

    assert to_mapping(recipe)["data"]["max_length"] == 512
    assert "max_seq_length" not in to_mapping(recipe)["data"]


def test_two_spellings_of_one_key_are_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, "data:\n  max_seq_length: 512\n  max_length: 256\n")

    assert "data.max_length is given in two spellings" in error.message


def test_a_written_recipe_reads_back_as_itself(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "run: {name: again}\n"))
    import json

    again = tmp_path / "config.json"
    again.write_text(json.dumps(to_mapping(recipe)))

    assert load_recipe(again) == recipe


def test_numbers_in_scientific_notation_are_numbers(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "training:\n  learning_rate: 2e-5\n"))

    assert recipe.training.learning_rate == 2e-5


def test_a_bare_no_is_the_word_no(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "evaluation:\n  eval_strategy: no\n"))

    assert recipe.evaluation.eval_strategy == "no"


def test_minus_one_step_is_no_limit(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, "training:\n  max_steps: -1\n")).training.max_steps is None


def test_steps_may_be_a_share_of_all(tmp_path: Path) -> None:
    text = "evaluation: {eval_strategy: steps, eval_steps: 0.5}\ncheckpointing: {save_steps: 0.1}\n"
    recipe = load_recipe(write(tmp_path, text))

    assert (recipe.evaluation.eval_steps, recipe.checkpointing.save_steps) == (0.5, 0.1)


def test_truth_is_a_value_where_truth_is_wanted(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, "data: {packing: false}\n")).data.packing is False
