"""Files of other trainers are recognised, and every counterpart that is named is a key of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from runner.run.run_file import RunFile
from trainer.config.hints import section_at
from trainer.config.other_trainers import OTHER_TRAINERS, OtherTrainer, counterpart, recognise
from trainer.config.recipe import load_recipe
from trainer.errors import ConfigError

FILES = {
    "Axolotl": """
base_model: org/name
adapter: qlora
load_in_4bit: true
datasets: [{path: org/data, type: chat_template}]
val_set_size: 0.1
sequence_len: 2048
sample_packing: true
lora_r: 32
lora_target_linear: true
micro_batch_size: 2
num_epochs: 4
optimizer: paged_adamw_32bit
bf16: auto
wandb_project:
""",
    "LLaMA-Factory": """
model_name_or_path: org/name
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
dataset: identity,alpaca
template: llama3
cutoff_len: 2048
output_dir: saves
logging_steps: 10
save_steps: 500
per_device_train_batch_size: 1
learning_rate: 1.0e-4
""",
    "TRL": """
model_name_or_path: org/name
dataset_name: trl-lib/Capybara
learning_rate: 2.0e-4
num_train_epochs: 1
packing: true
use_peft: true
load_in_4bit: true
lora_r: 32
""",
    "AutoTrain": """
task: llm-sft
base_model: org/name
project_name: mine
log: tensorboard
backend: local
data: {path: org/data, train_split: train, chat_template: null}
params: {block_size: 1024, epochs: 2, batch_size: 1, lr: 1.0e-4, peft: true, quantization: int4}
hub: {username: me, token: null}
""",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_trainer_is_recognised_with_a_line_for_each_of_its_keys(name: str, tmp_path: Path) -> None:
    path = tmp_path / "their.yml"
    path.write_text(FILES[name])

    with pytest.raises(ConfigError) as caught:
        load_recipe(path)

    assert f"their.yml is a file for {name}: " in caught.value.message
    for key in yaml.safe_load(FILES[name]):
        if key not in ("data", "params", "hub"):
            assert any(line.startswith(f"{key} ") for line in caught.value.lines), key
    assert any(line.endswith("->  model.base_model") for line in caught.value.lines)
    assert "docs/other-trainers.md" in caught.value.resolution


@pytest.mark.parametrize(
    "text", ["run: {name: a}\ndata: {path: x}", "learning_rate: 1", "base_model: org/name\nlora_r: 8\nmax_steps: 2"]
)
def test_a_file_of_ours_with_mistakes_is_not_taken_for_another_trainers(text: str) -> None:
    assert recognise(yaml.safe_load(text)) is None


@pytest.mark.parametrize("trainer", OTHER_TRAINERS, ids=lambda trainer: str(trainer.name))
def test_every_counterpart_is_a_key_of_the_run_file(trainer: OtherTrainer) -> None:
    for key, here in trainer.keys.items():
        if here:
            section, name = here.partition(" ")[0].split(".")
            assert name in section_at(RunFile, [section]).model_fields, key
    assert set(trainer.marks) <= set(trainer.keys)


def test_one_key_of_another_trainer_alone_has_its_counterpart() -> None:
    assert (counterpart("cutoff_len"), counterpart("train_file"), counterpart("deepspeed"), counterpart("zzz")) == (
        "data.max_length",
        "data.train_path",
        None,
        None,
    )
