"""Files written for other trainers: how they are recognised, and which of their keys have a counterpart here.

Names are those of Axolotl 0.12, LLaMA-Factory 0.9, TRL 1 and AutoTrain 0.8, as their documents and examples have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LIKELY_KEYS = 3
"""A file is another trainer's if it has so many of its keys, one of them a mark, and they are half of all."""

TRAINING_ARGUMENTS = {
    "seed": "run.seed",
    "output_dir": "",
    "per_device_train_batch_size": "training.per_device_train_batch_size",
    "per_device_eval_batch_size": "evaluation.per_device_eval_batch_size",
    "gradient_accumulation_steps": "training.gradient_accumulation_steps",
    "num_train_epochs": "training.num_train_epochs",
    "max_steps": "training.max_steps",
    "learning_rate": "training.learning_rate",
    "lr_scheduler_type": "training.lr_scheduler_type",
    "warmup_ratio": "training.warmup_ratio",
    "warmup_steps": "training.warmup_steps",
    "neftune_noise_alpha": "training.neftune_noise_alpha",
    "weight_decay": "training.weight_decay",
    "max_grad_norm": "training.max_grad_norm",
    "optim": "training.optim",
    "gradient_checkpointing": "training.gradient_checkpointing",
    "bf16": "model.dtype (bfloat16)",
    "fp16": "model.dtype",
    "eval_strategy": "evaluation.eval_strategy",
    "evaluation_strategy": "evaluation.eval_strategy",
    "eval_steps": "evaluation.eval_steps",
    "save_steps": "checkpointing.save_steps",
    "save_total_limit": "checkpointing.save_total_limit",
    "load_best_model_at_end": "checkpointing.load_best_model_at_end",
    "logging_steps": "monitoring.logging_steps",
    "report_to": "monitoring.tensorboard (true or false)",
    "deepspeed": "",
    "push_to_hub": "",
    "resume_from_checkpoint": "",
}
"""The keys of transformers' ``TrainingArguments``, which several trainers take as they are."""

AXOLOTL = {
    "base_model": "model.base_model",
    "revision_of_model": "model.revision",
    "model_type": "",
    "tokenizer_type": "",
    "trust_remote_code": "model.trust_remote_code",
    "load_in_4bit": "model.load_in_4bit",
    "load_in_8bit": "",
    "bf16": "model.dtype (bfloat16)",
    "fp16": "model.dtype",
    "tf32": "",
    "flash_attention": "model.attn_implementation",
    "attn_implementation": "model.attn_implementation",
    "adapter": "model.load_in_4bit (true for qlora, false for lora)",
    "lora_r": "adapter.lora_r",
    "lora_alpha": "adapter.lora_alpha",
    "lora_dropout": "adapter.lora_dropout",
    "lora_target_modules": "adapter.lora_target_modules",
    "lora_target_linear": "adapter.lora_target_modules (all-linear)",
    "peft_use_rslora": "adapter.use_rslora",
    "datasets": "data.train_path (the path of the data set)",
    "test_datasets": "data.eval_path (the path of the data set)",
    "val_set_size": "data.eval_fraction",
    "dataset_prepared_path": "",
    "chat_template": "",
    "chat_template_jinja": "data.chat_template_path (a file)",
    "sequence_len": "data.max_length",
    "sample_packing": "data.packing",
    "eval_sample_packing": "",
    "pad_to_sequence_len": "",
    "train_on_inputs": "data.assistant_only_loss (the opposite)",
    "micro_batch_size": "training.per_device_train_batch_size",
    "eval_batch_size": "evaluation.per_device_eval_batch_size",
    "gradient_accumulation_steps": "training.gradient_accumulation_steps",
    "num_epochs": "training.num_train_epochs",
    "max_steps": "training.max_steps",
    "optimizer": "training.optim",
    "lr_scheduler": "training.lr_scheduler_type",
    "learning_rate": "training.learning_rate",
    "warmup_ratio": "training.warmup_ratio",
    "warmup_steps": "training.warmup_steps",
    "neftune_noise_alpha": "training.neftune_noise_alpha",
    "early_stopping_patience": "evaluation.early_stopping_patience",
    "weight_decay": "training.weight_decay",
    "max_grad_norm": "training.max_grad_norm",
    "gradient_checkpointing": "training.gradient_checkpointing",
    "eval_steps": "evaluation.eval_steps",
    "evals_per_epoch": "evaluation.eval_strategy (epoch, or steps with eval_steps)",
    "save_steps": "checkpointing.save_steps",
    "saves_per_epoch": "checkpointing.save_steps",
    "save_total_limit": "checkpointing.save_total_limit",
    "logging_steps": "monitoring.logging_steps",
    "use_tensorboard": "monitoring.tensorboard",
    "seed": "run.seed",
    "output_dir": "",
    "wandb_project": "",
    "wandb_entity": "",
    "hub_model_id": "",
    "special_tokens": "",
    "deepspeed": "",
    "fsdp": "",
}
AXOLOTL_MARKS = (
    *("sequence_len", "micro_batch_size", "sample_packing", "val_set_size", "lora_target_linear", "num_epochs"),
    *("train_on_inputs", "dataset_prepared_path", "pad_to_sequence_len", "evals_per_epoch", "saves_per_epoch"),
)
LLAMA_FACTORY = {
    **TRAINING_ARGUMENTS,
    "model_name_or_path": "model.base_model",
    "model_revision": "model.revision",
    "trust_remote_code": "model.trust_remote_code",
    "stage": "",
    "do_train": "",
    "finetuning_type": "model.load_in_4bit (only lora has a counterpart)",
    "quantization_bit": "model.load_in_4bit",
    "quantization_type": "model.bnb_4bit_quant_type",
    "double_quantization": "model.bnb_4bit_use_double_quant",
    "flash_attn": "model.attn_implementation",
    "lora_rank": "adapter.lora_r",
    "lora_alpha": "adapter.lora_alpha",
    "lora_dropout": "adapter.lora_dropout",
    "lora_target": "adapter.lora_target_modules (all-linear for all)",
    "use_rslora": "adapter.use_rslora",
    "dataset": "data.train_path (a file)",
    "dataset_dir": "",
    "eval_dataset": "data.eval_path (a file)",
    "val_size": "data.eval_fraction",
    "template": "data.chat_template_path (a file; without one the base model's own)",
    "cutoff_len": "data.max_length",
    "packing": "data.packing",
    "neat_packing": "data.packing",
    "train_on_prompt": "data.assistant_only_loss (the opposite)",
    "max_samples": "data.max_train_samples",
    "preprocessing_num_workers": "",
    "dataloader_num_workers": "",
    "overwrite_cache": "",
    "overwrite_output_dir": "",
    "plot_loss": "",
    "ddp_timeout": "",
}
LLAMA_FACTORY_MARKS = (
    *("stage", "finetuning_type", "cutoff_len", "template", "lora_target", "lora_rank", "quantization_bit"),
    "dataset_dir",
)
TRL = {
    **TRAINING_ARGUMENTS,
    "model_name_or_path": "model.base_model",
    "model_revision": "model.revision",
    "dtype": "model.dtype",
    "torch_dtype": "model.dtype",
    "trust_remote_code": "model.trust_remote_code",
    "attn_implementation": "model.attn_implementation",
    "use_peft": "",
    "load_in_4bit": "model.load_in_4bit",
    "load_in_8bit": "",
    "bnb_4bit_quant_type": "model.bnb_4bit_quant_type",
    "use_bnb_nested_quant": "model.bnb_4bit_use_double_quant",
    "lora_r": "adapter.lora_r",
    "lora_alpha": "adapter.lora_alpha",
    "lora_dropout": "adapter.lora_dropout",
    "lora_target_modules": "adapter.lora_target_modules",
    "lora_task_type": "",
    "use_rslora": "adapter.use_rslora",
    "dataset_name": "data.train_path (`org/name` of the Hub, or a file)",
    "dataset_config": "",
    "dataset_train_split": "",
    "dataset_test_split": "data.eval_path (a file)",
    "max_length": "data.max_length",
    "max_seq_length": "data.max_length",
    "packing": "data.packing",
    "assistant_only_loss": "data.assistant_only_loss",
    "completion_only_loss": "data.assistant_only_loss",
    "chat_template_path": "data.chat_template_path",
}
AUTOTRAIN = {
    "task": "",
    "base_model": "model.base_model",
    "project_name": "run.name",
    "log": "monitoring.tensorboard (true or false)",
    "backend": "compute.env",
    "data.path": "data.train_path",
    "data.train_split": "",
    "data.valid_split": "data.eval_path (a file)",
    "data.chat_template": "data.chat_template_path (a file)",
    "data.column_mapping": "",
    "params.block_size": "data.max_length",
    "params.model_max_length": "data.max_length",
    "params.epochs": "training.num_train_epochs",
    "params.batch_size": "training.per_device_train_batch_size",
    "params.gradient_accumulation": "training.gradient_accumulation_steps",
    "params.lr": "training.learning_rate",
    "params.optimizer": "training.optim",
    "params.scheduler": "training.lr_scheduler_type",
    "params.warmup_ratio": "training.warmup_ratio",
    "params.weight_decay": "training.weight_decay",
    "params.max_grad_norm": "training.max_grad_norm",
    "params.mixed_precision": "model.dtype",
    "params.quantization": "model.load_in_4bit (true for int4)",
    "params.peft": "",
    "params.padding": "",
    "params.target_modules": "adapter.lora_target_modules",
    "params.lora_r": "adapter.lora_r",
    "params.lora_alpha": "adapter.lora_alpha",
    "params.lora_dropout": "adapter.lora_dropout",
    "params.logging_steps": "monitoring.logging_steps",
    "params.eval_strategy": "evaluation.eval_strategy",
    "params.save_total_limit": "checkpointing.save_total_limit",
    "params.merge_adapter": "artifacts.merged_model",
    "params.seed": "run.seed",
    "hub.username": "",
    "hub.token": "",
    "hub.push_to_hub": "",
}
FILES = {"train_file": "data.train_path", "eval_file": "data.eval_path", "validation_file": "data.eval_path"}
"""Names that several trainers and scripts have for the data."""


@dataclass(frozen=True)
class OtherTrainer:
    """A trainer of another project.

    Attributes:
        name: Its name.
        keys: Its keys, and the one here that does the same with a remark behind it; empty where there is none.
        marks: Keys that only it has.
    """

    name: str
    keys: Mapping[str, str]
    marks: tuple[str, ...]


OTHER_TRAINERS = (
    OtherTrainer("Axolotl", AXOLOTL, AXOLOTL_MARKS),
    OtherTrainer("LLaMA-Factory", LLAMA_FACTORY, LLAMA_FACTORY_MARKS),
    OtherTrainer("AutoTrain", AUTOTRAIN, tuple(key for key in AUTOTRAIN if key.startswith("params."))),
    OtherTrainer("TRL", TRL, ("model_name_or_path", "dataset_name", "use_peft", "dataset_train_split")),
)
"""In this order: a file may have keys of several, and those that come first have marks that are more telling."""


def recognise(values: Mapping[str, Any]) -> OtherTrainer | None:
    """Return the trainer that a file was written for, or ``None`` where it is none of those known here.

    Args:
        values: The file's data.
    """
    keys = list(keys_of(values))
    best: tuple[int, OtherTrainer | None] = (0, None)
    for trainer in OTHER_TRAINERS:
        known = [key for key in keys if key in trainer.keys]
        marks = sum(key in trainer.marks for key in known)
        if len(known) >= LIKELY_KEYS and 2 * len(known) >= len(keys) and marks > best[0]:
            best = marks, trainer
    return best[1]


def keys_of(values: Mapping[str, Any]) -> Iterator[str]:
    """Return a file's keys as the tables have them: those of AutoTrain's sections with the section's name in front."""
    for key, value in values.items():
        if key in ("data", "params", "hub") and isinstance(value, Mapping):
            yield from (f"{key}.{inner}" for inner in value)
        else:
            yield str(key)


def counterparts(trainer: OtherTrainer, values: Mapping[str, Any]) -> list[str]:
    """Return for each key of a file, in its order, a line with the key here that does the same."""
    keys = list(keys_of(values))
    width = max(map(len, keys), default=0)
    return [f"{key:<{width}}  ->  {trainer.keys.get(key) or 'no such key here'}" for key in keys]


def counterpart(key: str) -> str | None:
    """Return ``section.key`` for a key of any of the other trainers, or ``None``."""
    for trainer in OTHER_TRAINERS:
        for name, here in trainer.keys.items():
            if here and name.rpartition(".")[2] == key:
                return here.partition(" ")[0]
    return FILES.get(key)
