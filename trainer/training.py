"""One training run, straight through: data, base model, base's score, training, export, proof."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from trainer import checkpoint
from trainer.acceptance import run_acceptance
from trainer.artifacts import export_adapter
from trainer.config import Recipe, to_mapping
from trainer.data import Dataset, EncodedDataset, encode, load_dataset
from trainer.environment import Environment, describe_environment, memory_peak_gib
from trainer.errors import EXIT_DONE, TrainerError, TrainingError
from trainer.evaluation import EvalSet, Evaluation, evaluate_model, make_eval_set
from trainer.events import EventLog, Phase
from trainer.files import read_json, write_json
from trainer.merge import merge_adapter
from trainer.model import (
    base_fingerprint,
    load_base,
    load_tokenizer,
    lora_config,
    prepare_base_model,
    resolve_device,
    resolve_dtype,
)
from trainer.qlora_trainer import QloraTrainer, Watch
from trainer.quiet import silence_libraries
from trainer.stopping import StopRequest
from trainer.tokenization import BaseModelFacts, load_base_model_facts


@dataclass
class Run:
    """What the phases of one run share.

    Attributes:
        recipe: What to do.
        output: Output folder; see ``docs/architecture.md``.
        events: The event file.
        stop: The stop request.
        phase_seconds: How long each phase took, in seconds.
    """

    recipe: Recipe
    output: Path
    events: EventLog
    stop: StopRequest
    phase_seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Tell the begin and the end of a phase, and how long it took."""
        self.events.write("phase_started", phase=name)
        self.say(f"{name} ...")
        started_s = time.monotonic()
        yield
        duration_s = round(time.monotonic() - started_s, 2)
        self.phase_seconds[name] = duration_s
        self.events.write("phase_ended", phase=name, duration_s=duration_s)

    def say(self, line: str) -> None:
        """Print one line for a person; the run's log keeps it."""
        print(line, flush=True)


@dataclass(frozen=True)
class Inputs:
    """The checked and encoded data, and what is known of the base model without loading it."""

    facts: BaseModelFacts
    dataset: Dataset
    encoded: EncodedDataset


def train(recipe: Recipe, output: Path, *, resume: bool) -> int:
    """Train, export and prove one adapter.

    Args:
        recipe: What to do.
        output: Folder for everything the run writes.
        resume: Go on from the newest complete checkpoint in ``output``; without one, start from the beginning.

    Returns:
        ``EXIT_DONE``.

    Raises:
        TrainerError: Whatever ended the run; its words are the last event as well.
    """
    silence_libraries(telemetry=recipe.monitoring.telemetry)
    output.mkdir(parents=True, exist_ok=True)
    run = Run(recipe, output, EventLog(output / "events.jsonl"), StopRequest())
    try:
        with run.stop.installed(), _memory_errors_explained():
            _run_phases(run, resume=resume)
    except TrainerError as err:
        status = "interrupted" if run.stop.is_requested else "failed"
        run.events.write(
            "run_ended", status=status, exit_code=err.exit_code, message=err.message, resolution=err.resolution
        )
        raise
    finally:
        run.events.close()
    return EXIT_DONE


def _run_phases(run: Run, *, resume: bool) -> None:
    recipe, output = run.recipe, run.output
    with run.phase("data"):
        inputs = _read_inputs(run)
    with run.phase("load_model"):
        location = prepare_base_model(recipe.model)
        model = load_base(recipe, location, quantised=recipe.model.load_in_4bit)
        tokenizer = load_tokenizer(location, inputs.facts, recipe.model)
        base_sha256 = base_fingerprint(model)
        environment = describe_environment(resolve_device(recipe.run))
    fingerprints = _fingerprints(recipe, inputs, base_sha256, environment)
    with run.phase("evaluate_base"):
        eval_set = make_eval_set(recipe, inputs.dataset, inputs.encoded)
        base = _evaluate_base(run, model, tokenizer, eval_set, inputs, fingerprints)
    with run.phase("train"):
        trainer = _build_trainer(run, model, tokenizer, inputs, fingerprints, environment)
        train_metrics = _fit(run, trainer, fingerprints, resume=resume)
        base_sha256_after = base_fingerprint(trainer.model)
    with run.phase("export"):
        manifest = _manifest(recipe, inputs, fingerprints, environment)
        export_adapter(
            trainer.model,
            tokenizer,
            recipe,
            inputs.facts,
            output / "adapter",
            manifest=manifest,
            metrics={"train": train_metrics, "phases": run.phase_seconds},
        )
    merged = output / "merged" if recipe.artifacts.merged_model else None
    del trainer, model
    gc.collect()
    if merged is not None:
        with run.phase("merge"):
            merge_adapter(recipe, output / "adapter", merged, location=location)
    with run.phase("acceptance"):
        report = run_acceptance(
            recipe,
            output / "adapter",
            dataset=inputs.dataset,
            encoded=inputs.encoded,
            facts=inputs.facts,
            location=location,
            events=run.events,
            base_result=base,
            base_sha_before=base_sha256,
            base_sha_after=base_sha256_after,
            merged_folder=merged,
        )
    shutil.copyfile(output / "adapter" / "metrics.json", output / "metrics.json")
    report.require()
    run.events.write("run_ended", status="accepted", exit_code=EXIT_DONE, message="the adapter is accepted")


def _read_inputs(run: Run) -> Inputs:
    """Check and encode the data: everything that can be refused before the base model is loaded."""
    facts = load_base_model_facts(run.recipe.model, run.recipe.data)
    dataset = load_dataset(run.recipe.data, run.recipe.run.seed)
    encoded = encode(dataset, facts, run.recipe.data)
    run.events.write("data_summary", **encoded.summary.to_mapping())
    return Inputs(facts, dataset, encoded)


def _fingerprints(recipe: Recipe, inputs: Inputs, base_sha256: str, environment: Environment) -> dict[str, str]:
    """Return what a checkpoint of this run belongs to; see ``checkpoint.choose``."""
    sections = to_mapping(recipe)
    relevant = {name: sections[name] for name in ("model", "adapter", "training")}
    relevant["model"].pop("base_model")  # where it lies; what it is comes from its weights
    relevant["data"] = {
        name: sections["data"][name] for name in ("max_length", "packing", "assistant_only_loss", "max_train_samples")
    }
    relevant["seed"] = recipe.run.seed
    software = {"packages": environment.packages, "device": environment.device_name}
    return {
        "recipe": _digest(relevant),
        "data": _digest([inputs.dataset.train_sha256, inputs.dataset.eval_sha256, inputs.facts.chat_template]),
        "base_model": base_sha256,
        "environment": _digest(software),
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _evaluate_base(
    run: Run, model: Any, tokenizer: Any, eval_set: EvalSet, inputs: Inputs, fingerprints: Mapping[str, str]
) -> Evaluation:
    """Return what the base model reaches by itself; a resumed run reads it from the output folder."""
    path = run.output / "base_evaluation.json"
    key = _digest([fingerprints["data"], fingerprints["base_model"], to_mapping(run.recipe.evaluation)])
    known = read_json(path)
    if known is not None and known["key"] == key:
        return Evaluation(known["loss"], known["scores"], tuple(known["answers"]))
    base = evaluate_model(model, tokenizer, eval_set, inputs.facts, run.recipe)
    write_json(path, {"key": key, "loss": base.loss, "scores": base.scores, "answers": list(base.answers)})
    quantised = run.recipe.model.load_in_4bit
    run.events.write("evaluation", step=0, eval_loss=base.loss, model="base_4bit" if quantised else "base_unquantised")
    run.say(f"base model: eval loss {base.loss:.4f}")
    return base


def _build_trainer(
    run: Run, model: Any, tokenizer: Any, inputs: Inputs, fingerprints: Mapping[str, str], environment: Environment
) -> QloraTrainer:
    import datasets

    datasets.disable_progress_bars()
    recipe = run.recipe
    rows = [{"input_ids": sample.input_ids, "labels": sample.labels} for sample in inputs.encoded.train]
    trainer = QloraTrainer(
        eval_samples=inputs.encoded.eval[: recipe.evaluation.max_eval_samples],
        fingerprints=fingerprints,
        keep_checkpoints=recipe.checkpointing.save_total_limit,
        watch=Watch(run.events, run.stop, run.say),
        model=model,
        args=_sft_config(recipe, run.output, torch.device(environment.device)),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=lora_config(recipe.adapter),
    )
    trainer.set_schedule(recipe.evaluation.eval_strategy, recipe.evaluation.eval_steps)
    return trainer


def _sft_config(recipe: Recipe, output: Path, device: torch.device) -> Any:
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
        max_length=recipe.data.max_length,
        packing=recipe.data.packing,
        eval_packing=False,
        num_train_epochs=training.num_train_epochs,
        max_steps=training.max_steps or -1,
        per_device_train_batch_size=training.per_device_train_batch_size,
        per_device_eval_batch_size=recipe.evaluation.per_device_eval_batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        auto_find_batch_size=False,  # it would change the effective batch in silence
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.lr_scheduler_type,
        warmup_steps=training.warmup_ratio,  # below 1 it is a share of all steps
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


def _fit(run: Run, trainer: QloraTrainer, fingerprints: Mapping[str, str], *, resume: bool) -> dict[str, Any]:
    """Train, from the newest complete checkpoint if asked to, and leave the best adapter in ``trainer.model``."""
    found, remarks = (None, [])
    if resume:
        found, remarks = checkpoint.choose(run.output / "checkpoints", fingerprints)
    else:
        _clear_checkpoints(run.output / "checkpoints")
    for remark in remarks:
        run.say(remark)
    _say_start(run, trainer, found)
    started_s = time.monotonic()
    with run.stop.deferred():
        if found is None or found.step < trainer.total_steps:
            trainer.train(resume_from_checkpoint=None if found is None else str(found.path))
        else:
            trainer.restore_finished(found.path)
        if run.stop.is_requested:
            run.events.write("interrupted", step=trainer.state.global_step, signal=run.stop.signal_name)
            raise run.stop.interruption(trainer.state.global_step)
    if run.recipe.checkpointing.load_best_model_at_end:
        best = trainer.load_best()
        if best is not None:
            run.say(f"the adapter of step {best} has the lowest eval loss and is exported")
    return _train_metrics(run.recipe, trainer, time.monotonic() - started_s)


def _clear_checkpoints(folder: Path) -> None:
    """Make room for a fresh start, so that a later resume can't take an older run's checkpoint for its own."""
    for path in checkpoint.list_newest_first(folder):
        shutil.rmtree(path)


def _say_start(run: Run, trainer: QloraTrainer, found: checkpoint.Checkpoint | None) -> None:
    recipe, step = run.recipe, 0 if found is None else found.step
    environment = describe_environment(trainer.args.device)
    run.events.write(
        "run_started",
        device=environment.device,
        device_name=environment.device_name,
        dtype="bfloat16" if trainer.args.bf16 else "float32",
        versions=environment.packages,
        base_model=recipe.model.base_model,
        max_steps=trainer.total_steps,
        rows=len(trainer.train_dataset),
        effective_batch_rows=recipe.effective_batch_rows,
        trainable_parameters=sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        resumed_from_step=step,
    )
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
        "tokens_per_s": round(tokens / busy_s, 1) if busy_s else None,
        "duration_s": round(duration_s, 1),
        "peak_memory_gib": round(memory_peak_gib(trainer.args.device), 3),
        "effective_batch_rows": recipe.effective_batch_rows,
        "best_step": trainer.state.best_global_step,
    }


def _manifest(
    recipe: Recipe, inputs: Inputs, fingerprints: Mapping[str, str], environment: Environment
) -> dict[str, Any]:
    model = recipe.model
    quantisation = {
        "bnb_4bit_quant_type": model.bnb_4bit_quant_type,
        "bnb_4bit_use_double_quant": model.bnb_4bit_use_double_quant,
        "compute_dtype": str(resolve_dtype(model, torch.device(environment.device))).removeprefix("torch."),
    }
    return {
        "format": 1,
        "run_name": recipe.run.name,
        "base_model": model.base_model,
        "base_model_sha256": fingerprints["base_model"],
        "quantisation": quantisation if model.load_in_4bit else None,
        "data": {
            "train_sha256": inputs.dataset.train_sha256,
            "eval_sha256": inputs.dataset.eval_sha256,
            "train_samples": len(inputs.encoded.train),
            "eval_samples": len(inputs.encoded.eval),
        },
        "fingerprints": dict(fingerprints),
        "environment": environment.to_mapping(),
        "effective_batch_rows": recipe.effective_batch_rows,
        "seed": recipe.run.seed,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@contextmanager
def _memory_errors_explained() -> Iterator[None]:
    """Turn running out of GPU memory into an error that says what to do."""
    try:
        yield
    except torch.OutOfMemoryError as err:
        raise TrainingError(
            f"train: out of GPU memory: {str(err).splitlines()[0]}",
            resolution="lower per_device_train_batch_size and raise gradient_accumulation_steps by the same factor, "
            "then data.max_length",
            details=str(err),
        ) from err
