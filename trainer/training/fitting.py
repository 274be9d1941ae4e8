"""The optimisation of one run: from an encoded data set and a base model to the best adapter."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from trainer.base_model.load import lora_config, resolve_dtype
from trainer.checkpoints import complete as checkpoint
from trainer.checkpoints.recipes import recipe_values
from trainer.config.recipe import Recipe
from trainer.data.samples import EncodedDataset
from trainer.environment import describe_environment, memory_peak_gib
from trainer.errors import BaseModelError, CheckpointError
from trainer.training.early_stopping import EarlyStopping, has_stopped
from trainer.training.qlora_trainer import QloraTrainer, Watch
from trainer.training.rows import training_rows
from trainer.training.run import Run
from trainer.training.schedule import schedule_options


def build_trainer(
    run: Run,
    model: Any,
    tokenizer: Any,
    encoded: EncodedDataset,
    fingerprints: Mapping[str, str],
    device: torch.device,
) -> QloraTrainer:
    """Put a new adapter on the base model and make the trainer of the run.

    Args:
        run: The run.
        model: The base model, loaded.
        tokenizer: Its tokenizer.
        encoded: Training and eval samples.
        fingerprints: What checkpoints of this run belong to.
        device: Where the model lies.
    """
    recipe = run.recipe
    with _refusals_explained(recipe):
        trainer = QloraTrainer(
            eval_samples=encoded.eval[: recipe.evaluation.max_eval_samples],
            fingerprints=fingerprints,
            recipe=recipe_values(recipe),
            keep_checkpoints=recipe.checkpointing.save_total_limit,
            watch=Watch(run.events, run.stop, run.say, run.beat),
            model=model,
            args=sft_config(recipe, run.output, device),
            train_dataset=training_rows(encoded.train),
            processing_class=tokenizer,
            peft_config=lora_config(recipe.adapter),
        )
    trainer.set_schedule(recipe.evaluation.eval_strategy, recipe.evaluation.eval_steps)
    trainer.args.lr_scheduler_kwargs = schedule_options(recipe.training, trainer.total_steps)
    if recipe.evaluation.early_stopping_patience is not None:
        trainer.add_callback(EarlyStopping(recipe.evaluation.early_stopping_patience))
    return trainer


@contextmanager
def _refusals_explained(recipe: Recipe) -> Iterator[None]:
    """Turn what PEFT and TRL refuse to put an adapter on into an error that names the key."""
    try:
        yield
    except ValueError as err:
        raise BaseModelError(
            f"train: an adapter on {recipe.adapter.lora_target_modules} of this base model is refused: "
            f"{str(err).splitlines()[0]}",
            details=str(err),
            resolution="set adapter.lora_target_modules to all-linear, or to names of linear layers that it has",
        ) from err


def sft_config(recipe: Recipe, output: Path, device: torch.device) -> Any:
    """Return TRL's configuration of the recipe."""
    from trl import SFTConfig

    training, dtype = recipe.training, resolve_dtype(recipe.model, device)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(output / "tensorboard")
    optimizer = "paged_adamw_8bit" if device.type == "cuda" else "adamw_torch"
    return SFTConfig(
        output_dir=str(output / "checkpoints"),
        seed=recipe.run.seed,
        data_seed=recipe.run.seed,
        use_cpu=device.type == "cpu",
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        max_length=recipe.data.max_length,
        packing=recipe.data.packing,
        eval_packing=False,
        num_train_epochs=training.num_train_epochs,
        max_steps=training.max_steps or -1,
        per_device_train_batch_size=training.micro_batch_rows,
        per_device_eval_batch_size=recipe.evaluation.per_device_eval_batch_size,
        gradient_accumulation_steps=training.accumulation,
        auto_find_batch_size=False,  # it would change the effective batch in silence
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.lr_scheduler_type,
        warmup_steps=training.warmup_ratio
        if training.warmup_steps is None
        else training.warmup_steps,  # below 1: a share
        neftune_noise_alpha=training.neftune_noise_alpha,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim=optimizer if training.optim == "auto" else training.optim,
        activation_checkpointing=training.gradient_checkpointing,
        gradient_checkpointing=None,
        logging_steps=recipe.monitoring.logging_steps,
        logging_nan_inf_filter=False,  # it would log a loss that is not a number as 0.0
        report_to=["tensorboard"] if recipe.monitoring.tensorboard else [],
        save_strategy="steps",
        save_steps=recipe.checkpointing.save_steps,
        save_total_limit=None,  # older checkpoints go only once the new one is complete
        eval_strategy="no",  # set by `set_schedule`, which knows the steps of an epoch
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        dataloader_pin_memory=device.type == "cuda",
        disable_tqdm=True,
    )


def fit(
    run: Run, trainer: QloraTrainer, fingerprints: Mapping[str, str], newest: checkpoint.Found | None
) -> dict[str, Any]:
    """Train and leave the best adapter in ``trainer.model``.

    Args:
        run: The run.
        trainer: From ``build_trainer``.
        fingerprints: What a checkpoint has to belong to.
        newest: The newest complete checkpoint, to go on from; ``None`` to start from the beginning.

    Returns:
        What there is to say of the training, for ``metrics.json``.
    """
    found: checkpoint.Checkpoint | None = None
    remarks: list[str] = []
    if newest is not None:
        found, remarks = checkpoint.choose(newest, fingerprints, recipe_values(run.recipe))
        _refuse_shorter(found, trainer.total_steps)
    for remark in remarks:
        run.say(remark)
    _say_start(run, trainer, found, remarks)
    started_s = time.monotonic()
    with run.stop.deferred(), run.beat.ending():
        if found is None or (found.step < trainer.total_steps and not has_stopped(found.path, run.recipe)):
            trainer.train(resume_from_checkpoint=None if found is None else str(found.path))
        else:
            trainer.restore_finished(found.path)
        if run.stop.is_requested:
            run.events.write("interrupted", step=trainer.state.global_step, signal=run.stop.signal_name)
            raise run.stop.interruption(trainer.state.global_step)
    if trainer.state.global_step < trainer.total_steps:
        run.say(
            f"stopped at step {trainer.state.global_step} of {trainer.total_steps}: no lower eval loss in "
            f"{run.recipe.evaluation.early_stopping_patience} evaluations"
        )
    if run.recipe.checkpointing.load_best_model_at_end:
        take_best(run, trainer)
    return _train_metrics(run.recipe, trainer, time.monotonic() - started_s)


def take_best(run: Run, trainer: QloraTrainer) -> None:
    """Put the best adapter into ``trainer.model`` and say which it is, or that its checkpoint is gone."""
    step, best = trainer.state.global_step, trainer.state.best_global_step
    if trainer.load_best() is not None:
        run.say(f"the adapter of step {best} has the lowest eval loss and is exported")
    elif best and best != step:
        run.say(
            f"the checkpoint of step {best}, which has the lowest eval loss, is not here: "
            f"the adapter of step {step} is exported"
        )


def clear_checkpoints(folder: Path) -> None:
    """Make room for a fresh start, so that a later resume can't take an older run's checkpoint for its own."""
    for path in checkpoint.list_newest_first(folder):
        shutil.rmtree(path)


def _refuse_shorter(found: checkpoint.Checkpoint | None, total_steps: int) -> None:
    """Refuse a length that the run has passed already: its adapter would be taken for that of fewer steps."""
    if found is not None and found.step > total_steps:
        raise CheckpointError(
            f"resume: {found.path.name} is beyond the {total_steps} steps that the run is to have now",
            resolution="raise training.max_steps or training.num_train_epochs again, or start a new run",
        )


def _say_start(run: Run, trainer: QloraTrainer, found: checkpoint.Checkpoint | None, remarks: Sequence[str]) -> None:
    recipe, step = run.recipe, 0 if found is None else found.step
    environment = describe_environment(trainer.args.device)
    run.events.write(
        "run_started",
        device=environment.device,
        device_name=environment.device_name,
        dtype=str(resolve_dtype(recipe.model, trainer.args.device)).removeprefix("torch."),
        versions=environment.packages,
        base_model=recipe.model.base_model,
        max_steps=trainer.total_steps,
        rows=len(trainer.train_dataset),
        effective_batch_rows=recipe.effective_batch_rows,
        micro_batch_rows=recipe.training.micro_batch_rows,
        trainable_parameters=sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        resumed_from_step=step,
        why_no_triton=trainer.why_no_triton,
        **({"remarks": list(remarks)} if remarks else {}),
    )
    if trainer.why_no_triton is not None:
        run.say(f"Triton cannot be used, so the loss takes longer and more memory: {trainer.why_no_triton}")
    origin = "" if found is None else f", resumed from step {step}"
    run.say(
        f"training {len(trainer.train_dataset)} rows in {trainer.total_steps} steps of "
        f"{recipe.effective_batch_rows} rows on {environment.device_name}{origin}"
    )


def _train_metrics(recipe: Recipe, trainer: QloraTrainer, duration_s: float) -> dict[str, Any]:
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    tokens = sum(int(entry["tokens"]) for entry in steps)
    busy_s = sum(entry["tokens"] / entry["tokens_per_s"] for entry in steps if entry["tokens_per_s"])
    return {
        "steps": trainer.state.global_step,
        "epochs": round(float(trainer.state.epoch or 0.0), 3),
        "loss_first": steps[0]["loss"] if steps else None,
        "loss_last": steps[-1]["loss"] if steps else None,
        "tokens": tokens,
        "skipped_steps": trainer.skipped_steps,
        "tokens_per_s": round(tokens / busy_s, 1) if busy_s else None,
        "duration_s": round(duration_s, 1),
        "peak_memory_gib": round(memory_peak_gib(trainer.args.device), 3),
        "effective_batch_rows": recipe.effective_batch_rows,
        "best_step": trainer.state.best_global_step,
    }
