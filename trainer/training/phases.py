"""One training run, straight through: data, base model, base's score, training, export, proof."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from trainer.base_model.load import (
    base_fingerprint,
    base_kind,
    fit_to_device,
    load_base,
    load_tokenizer,
    prepare_base_model,
    resolve_device,
    resolve_dtype,
)
from trainer.base_model.origin import Origin, find_origin
from trainer.base_model.progress import loading_reported
from trainer.base_model.same_ids import ENOUGH_TEXTS, refuse_other_ids
from trainer.base_model.tokenization import BaseModelFacts, load_base_model_facts
from trainer.checkpoints import complete as checkpoint
from trainer.checkpoints.recipes import length_of, recipe_values
from trainer.config.recipe import Recipe, to_mapping
from trainer.data.chat import render
from trainer.data.samples import Dataset, EncodedDataset, encode, load_dataset
from trainer.data.steps import settle_accumulation, steps_of_run
from trainer.environment import Environment, describe_environment, use_one_gpu
from trainer.errors import EXIT_DONE, RestartError, TrainerError
from trainer.events import EventLog
from trainer.export.adapter_folder import export_adapter
from trainer.files import read_json, write_json
from trainer.proof.acceptance import run_acceptance
from trainer.proof.evaluation import EvalSet, Evaluation, evaluate_model, make_eval_set
from trainer.quiet import silence_libraries, silence_progress_bars
from trainer.shortage.forms import Shortage
from trainer.shortage.measures import Measure, apply_measures, begin, take_measure
from trainer.training.determinism import determinism
from trainer.training.fitting import build_trainer, clear_checkpoints, fit
from trainer.training.release import release_optimizer_overrides
from trainer.training.run import Run
from trainer.training.stopping import StopRequest
from trainer.training.write_errors import write_errors_explained

ADDED_KEYS = ("min_lr_ratio", "decay_ratio", "warmup_steps", "neftune_noise_alpha")
"""Keys of ``training`` that came after the first checkpoints were written."""


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
    use_one_gpu()
    silence_libraries(telemetry=recipe.monitoring.telemetry)
    silence_progress_bars()
    output.mkdir(parents=True, exist_ok=True)
    run = Run(recipe, output, EventLog(output / "events.jsonl"), StopRequest())
    try:
        with run.stop.installed(), write_errors_explained(), determinism(recipe.run.deterministic):
            _run_with_what_memory_allows(run, resume=resume)
    except RestartError:
        raise  # the run has not ended
    except TrainerError as err:
        status = "interrupted" if run.stop.is_requested else "failed"
        with suppress(OSError):  # the disk may be why it ended
            run.events.write(
                "run_ended", status=status, exit_code=err.exit_code, message=err.message, resolution=err.resolution
            )
        raise
    finally:
        with suppress(OSError):
            run.events.close()
    return EXIT_DONE


def _run_with_what_memory_allows(run: Run, *, resume: bool) -> None:
    """Run the phases; where memory is short, choose what the next start of the trainer uses less of.

    Raises:
        RestartError: If the run goes on in a fresh process: this one's memory is in pieces.
        OutOfMemoryError: If nothing is left to make smaller.
    """
    written = run.recipe
    measures = begin(run.output, written, resume=resume)
    run.recipe, remark = fit_to_device(apply_measures(written, measures))
    if remark is not None:
        run.say(remark)
    for measure in measures:
        run.say(f"memory was short before: {measure.words}")
    try:
        _run_phases(run, written, measures, resume=resume)
    except Shortage as err:
        measure = take_measure(run.output, written, run.events, err)
        if run.stop.is_requested:
            raise run.stop.interruption(step=None) from err
        raise RestartError(
            f"{err.work}: out of memory: {err.message}",
            resolution=f"start again with `--resume`: it goes on with {measure.words}",
            details=err.details,
        ) from err


def _run_phases(run: Run, written: Recipe, measures: tuple[Measure, ...], *, resume: bool) -> None:
    output = run.output
    found = checkpoint.newest_complete(output / "checkpoints") if resume else None
    newest = None if found is None else found[0]
    with run.phase("data"):
        inputs = _read_inputs(run, newest)
    recipe = run.recipe
    if not resume:
        clear_checkpoints(output / "checkpoints")
    with run.phase("load_model"), loading_reported(run.report_loading):
        location = prepare_base_model(recipe.model)
        tokenizer = _load_tokenizer(recipe, location, inputs)
        origin = find_origin(recipe.model, location)
        model = load_base(recipe, location, quantised=recipe.model.load_in_4bit)
        base_sha256 = base_fingerprint(model)
        device = resolve_device(recipe.run)
        environment = describe_environment(device)
    base_id = _base_id(newest, origin, base_sha256)
    fingerprints = _fingerprints(written, recipe.training.micro_batch_rows, inputs, base_id, environment)
    if resolve_dtype(recipe.model, device) == torch.float16:
        fingerprints |= checkpoint.WITH_SCALER
    with run.phase("evaluate_base"):
        eval_set = make_eval_set(recipe, inputs.dataset, inputs.encoded)
        base = _evaluate_base(run, model, tokenizer, eval_set, inputs, fingerprints)
    with run.phase("train"):
        trainer = build_trainer(run, model, tokenizer, inputs.encoded, fingerprints, device)
        train_metrics = fit(run, trainer, fingerprints, found)
        base_sha256_after = base_fingerprint(trainer.model)
    with run.phase("export"):
        manifest = _manifest(recipe, inputs, origin, fingerprints, environment, measures)
        export_adapter(
            trainer.model,
            tokenizer,
            recipe,
            inputs.facts,
            origin,
            output / "adapter",
            manifest=manifest,
            metrics={"train": train_metrics, "phases": run.phase_seconds},
        )
    del trainer, model
    release_optimizer_overrides()
    gc.collect()
    with run.phase("acceptance"):
        try:
            run_acceptance(
                recipe,
                output / "adapter",
                location=location,
                facts=inputs.facts,
                eval_set=eval_set,
                base=base,
                base_sha256_before=base_sha256,
                base_sha256_after=base_sha256_after,
                events=run.events,
            )
        finally:
            shutil.copyfile(output / "adapter" / "metrics.json", output / "metrics.json")
    run.events.write("run_ended", status="accepted", exit_code=EXIT_DONE, message="the adapter is accepted")


def _read_inputs(run: Run, newest: checkpoint.Checkpoint | None) -> Inputs:
    """Check and encode the data: everything that can be refused before the base model is loaded.

    The run's recipe gets a number where it depends on the data, that of the checkpoint to go on from if there is one.
    """
    facts = load_base_model_facts(run.recipe.model, run.recipe.data)
    dataset = load_dataset(run.recipe.data, run.recipe.run.seed)
    encoded = encode(dataset, facts, run.recipe.data)
    run.events.write("data_summary", **encoded.summary.to_mapping())
    run.say(steps_of_run(run.recipe, encoded).in_words())
    run.recipe = settle_accumulation(run.recipe, encoded, None if newest is None else newest.rows_in_step)
    return Inputs(facts, encoded.dataset, encoded)


def _load_tokenizer(recipe: Recipe, location: str, inputs: Inputs) -> Any:
    """Load the tokenizer as transformers has it, and refuse one that does not give the ids that are trained on."""
    tokenizer = load_tokenizer(location, inputs.facts, recipe.model)
    splits = inputs.dataset.eval, inputs.dataset.train
    every = max(1, sum(map(len, splits)) // ENOUGH_TEXTS)
    some = [sample for split in splits for sample in split[::every]]
    texts = (render(sample.messages, inputs.facts, add_generation_prompt=False) for sample in some)
    refuse_other_ids(tokenizer, inputs.facts, texts)
    return tokenizer


def _base_id(newest: checkpoint.Checkpoint | None, origin: Origin, loaded_sha256: str) -> str:
    """Return what this run's checkpoints call their base model: its files, or in runs from before that, as loaded."""
    is_old = newest is not None and newest.fingerprints.get("base_model") == loaded_sha256
    return loaded_sha256 if is_old else origin.sha256


def _fingerprints(recipe: Recipe, rows: int, inputs: Inputs, base_id: str, environment: Environment) -> dict[str, str]:
    """Return the identity of this run's checkpoints; see ``checkpoint.choose``.

    Args:
        recipe: The recipe as it was written: a measure for the sake of memory makes no other run of it.
        rows: Rows in a micro-batch, measures included.
        inputs: The data.
        base_id: What the base model is called, see ``_base_id``.
        environment: What computes.
    """
    sections = to_mapping(recipe)
    relevant = {name: sections[name] for name in ("model", "adapter", "training")}
    for name in ("base_model", "hub_id"):  # where it lies and what it is called; what it is comes from its weights
        relevant["model"].pop(name)
    for name in ADDED_KEYS:  # those of older versions have the same digest where nothing is asked of them
        if relevant["training"][name] is None:
            relevant["training"].pop(name)
    for name in ("per_device_train_batch_size", "gradient_accumulation_steps"):  # their product makes a step
        relevant["training"].pop(name)
    relevant["effective_batch_rows"] = recipe.effective_batch_rows
    relevant["data"] = {
        name: sections["data"][name] for name in ("max_length", "packing", "assistant_only_loss", "max_train_samples")
    }
    relevant["seed"] = recipe.run.seed
    how: dict[str, Any] = {
        "packages": environment.packages,
        "device": environment.device_name,
        "micro_batch_rows": rows,
    }
    if recipe.run.deterministic:  # others have the fingerprint that they had before there was a choice
        how["deterministic"] = True
    return {
        "recipe": _digest(relevant),
        "data": _digest([inputs.dataset.train_sha256, inputs.dataset.eval_sha256, inputs.facts.chat_template]),
        "tokenization": digest_tokens(inputs.encoded),
        "base_model": base_id,
        "environment": _digest(how),
    }


def digest_tokens(encoded: EncodedDataset) -> str:
    """Return a SHA-256 over the ids and labels of all samples: another day or tokenizer may give others."""
    digest = hashlib.sha256()
    for sample in chain(encoded.train, encoded.eval):  # one at a time: all of them would take gigabytes
        for numbers in (sample.input_ids, sample.labels):
            digest.update(array("q", (len(numbers), *numbers)).tobytes())
    return digest.hexdigest()


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _evaluate_base(
    run: Run, model: Any, tokenizer: Any, eval_set: EvalSet, inputs: Inputs, fingerprints: Mapping[str, str]
) -> Evaluation:
    """Return the base model's own evaluation; a resumed run reads it from the output folder."""
    path = run.output / "base_evaluation.json"
    key = _digest([fingerprints["data"], fingerprints["base_model"], to_mapping(run.recipe.evaluation)])
    known = read_json(path)
    if known is not None and known["key"] == key:
        return Evaluation(known["loss"], known["scores"], tuple(known["answers"]))
    base = evaluate_model(model, tokenizer, eval_set, inputs.facts, run.recipe)
    write_json(path, {"key": key, "loss": base.loss, "scores": base.scores, "answers": list(base.answers)})
    run.events.write("evaluation", step=0, eval_loss=base.loss, model=f"base_{base_kind(model)}")
    run.say(f"base model: eval loss {base.loss:.4f}")
    return base


def _manifest(
    recipe: Recipe,
    inputs: Inputs,
    origin: Origin,
    fingerprints: Mapping[str, str],
    environment: Environment,
    measures: tuple[Measure, ...],
) -> dict[str, Any]:
    model = recipe.model
    quantisation = {
        "bnb_4bit_quant_type": model.bnb_4bit_quant_type,
        "bnb_4bit_use_double_quant": model.bnb_4bit_use_double_quant,
        "compute_dtype": str(resolve_dtype(model, torch.device(environment.device))).removeprefix("torch."),
    }
    return {
        "format": 2,
        "run_name": recipe.run.name,
        **origin.to_mapping(),
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
        "memory_measures": [measure.words for measure in measures],
        "seed": recipe.run.seed,
        "length": length_of(recipe_values(recipe)),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
