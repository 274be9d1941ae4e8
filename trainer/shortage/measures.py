"""What a run does with less memory, one measure after the other, until nothing is left but to say so.

A step keeps its rows, in the same order, and its loss: only how many of them are in memory together changes, and
whether activations are computed again. ``max_length`` is never touched: shorter samples would be other samples.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from trainer.checkpoints.complete import newest_complete
from trainer.config.recipe import Recipe, to_mapping
from trainer.config.sections import EvaluationSection, TrainingSection
from trainer.errors import OutOfMemoryError
from trainer.events import EventLog, last_step, read_events
from trainer.files import read_json, write_json
from trainer.shortage.forms import Shortage, Work

FILE = "memory_measures.json"
"""In the output folder, and in each checkpoint that was made with some."""
OPTIMIZER = "training.optim"
PAGED = {"adamw_torch": "paged_adamw_32bit", "adamw_8bit": "paged_adamw_8bit"}
"""The optimizer whose state moves to the machine's memory where the GPU's is short, in the same number of bits."""

WORK_OF_PHASE: dict[str, Work] = {"evaluate_base": "evaluation", "train": "training", "acceptance": "evaluation"}


@dataclass(frozen=True)
class Measure:
    """One change of the recipe for the sake of memory.

    Attributes:
        words: What changes, for people.
        changes: The recipe's keys (``section.key``) and what they become.
    """

    words: str
    changes: dict[str, int | bool | str]


def next_measure(recipe: Recipe, work: Work, *, device: str, has_checkpoint: bool) -> Measure | None:
    """Return what to change next, or ``None`` where nothing is left.

    Args:
        recipe: The recipe as it is used, earlier measures included.
        work: What memory was short for.
        device: Kind of device that computes: ``cuda``, ``mps`` or ``cpu``.
        has_checkpoint: Whether there is one to go on from: its optimizer has to stay.
    """
    if work == "evaluation":
        return _smaller_evaluation(recipe.evaluation)
    if work == "other":
        return None
    rows = _fewer_rows(recipe)
    if rows is not None:
        return rows
    if not recipe.training.gradient_checkpointing:
        return Measure("gradient checkpointing", {"training.gradient_checkpointing": True})
    return None if has_checkpoint else _paged_optimizer(recipe.training, device)


def _fewer_rows(recipe: Recipe) -> Measure | None:
    """Return at most half of the rows, as many as divide a step's: the step stays the same."""
    rows, step = recipe.training.micro_batch_rows, recipe.effective_batch_rows
    fewer = next((count for count in range(rows // 2, 0, -1) if step % count == 0), None)
    if fewer is None:
        return None
    changes = {"per_device_train_batch_size": fewer, "gradient_accumulation_steps": step // fewer}
    return Measure(
        f"micro-batches of {_count(fewer, 'row')} instead of {rows}",
        {f"training.{key}": value for key, value in changes.items()},
    )


def _paged_optimizer(training: TrainingSection, device: str) -> Measure | None:
    optim = "adamw_torch" if training.optim == "auto" and device != "cuda" else training.optim
    paged = PAGED.get(optim)
    return None if paged is None else Measure(f"the optimizer {paged} instead of {optim}", {OPTIMIZER: paged})


def _smaller_evaluation(evaluation: EvaluationSection) -> Measure | None:
    rows, answers = evaluation.per_device_eval_batch_size, evaluation.generation_batch_size
    if rows == answers == 1:
        return None
    changes = {"per_device_eval_batch_size": max(1, rows // 2), "generation_batch_size": max(1, answers // 2)}
    words = [
        f"{_count(after, noun)} at a time instead of {before}"
        for before, after, noun in zip((rows, answers), changes.values(), ("row", "answer"), strict=True)
        if after < before
    ]
    return Measure(
        f"evaluation of {' and '.join(words)}", {f"evaluation.{key}": value for key, value in changes.items()}
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def take_measure(output: Path, written: Recipe, events: EventLog, shortage: Shortage) -> Measure:
    """Choose the next measure, keep it for the run's next start, and report it.

    Args:
        output: The run's output folder.
        written: The recipe without measures.
        events: The event file.
        shortage: What happened.

    Raises:
        OutOfMemoryError: If nothing is left to make smaller.
    """
    taken = read_measures(output, written)
    past = read_events(events.path)
    started: dict[str, Any] = next((event for event in reversed(past) if event["event"] == "run_started"), {})
    step = last_step(past) or 0
    measure = next_measure(
        _settled(apply_measures(written, taken), started.get("effective_batch_rows")),
        shortage.work,
        device=str(started.get("device")),
        has_checkpoint=newest_complete(output / "checkpoints")[0] is not None,
    )
    words = None if measure is None else measure.words
    events.write("out_of_memory", step=step, work=shortage.work, message=shortage.message, measure=words)
    if measure is None:
        raise nothing_left(shortage)
    write_measures(output, written, (*taken, measure))
    return measure


def _settled(recipe: Recipe, step_rows: int | None) -> Recipe:
    """Return the recipe with the micro-batches that the run's start settled on, where it leaves them open."""
    if recipe.training.gradient_accumulation_steps != "auto" or step_rows is None:
        return recipe
    settled = {"gradient_accumulation_steps": step_rows // recipe.training.micro_batch_rows}
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=settled)})


def nothing_left(shortage: Shortage) -> OutOfMemoryError:
    """Return the error that ends a run whose memory is too small for it."""
    found, resolution = {
        "training": (
            "train: out of memory with one row at a time and gradient checkpointing",
            "take a machine with more memory (compute.min_gpu_memory_gib), or lower data.max_length or adapter.lora_r",
        ),
        "evaluation": (
            "evaluation: out of memory with one row and one answer at a time",
            "take a machine with more memory (compute.min_gpu_memory_gib), or lower evaluation.max_new_tokens",
        ),
        "other": (
            "out of memory",
            "take a machine with more memory (compute.min_gpu_memory_gib), or set model.base_model to a smaller model",
        ),
    }[shortage.work]
    return OutOfMemoryError(f"{found}: {shortage.message}", resolution=resolution, details=shortage.details)


def open_work(output: Path) -> Work:
    """Return what the trainer was at by its last events; a killed one says no more."""
    for event in reversed(read_events(output / "events.jsonl")):
        if event["event"] in ("phase_started", "phase_ended"):
            is_open = event["event"] == "phase_started"
            return WORK_OF_PHASE.get(str(event.get("phase")), "other") if is_open else "other"
    return "other"


def apply_measures(recipe: Recipe, measures: tuple[Measure, ...]) -> Recipe:
    """Return the recipe with measures taken."""
    values = to_mapping(recipe)
    for measure in measures:
        for name, value in measure.changes.items():
            section, _, key = name.partition(".")
            values[section][key] = value
    return Recipe.model_validate(values)


def read_measures(output: Path, written: Recipe) -> tuple[Measure, ...]:
    """Return the measures that a run has taken, oldest first.

    Measures belong to the recipe that was too large: with other settings the run begins anew. One thing stays with a
    checkpoint wherever it goes on, its optimizer, whose state would mean nothing to another.
    """
    taken = _read(output)
    if taken is not None and taken.get("recipe") == _digest(written):
        return _measures(taken)
    newest, _ = newest_complete(output / "checkpoints")
    with_checkpoint = None if newest is None else _read(newest.path)
    return tuple(one for one in _measures(with_checkpoint or {}) if OPTIMIZER in one.changes)


def write_measures(folder: Path, written: Recipe, measures: tuple[Measure, ...]) -> None:
    """Keep a run's measures in a folder, with what they belong to."""
    taken = [asdict(measure) for measure in measures]
    write_json(folder / FILE, {"format": 1, "recipe": _digest(written), "measures": taken})


def begin(output: Path, written: Recipe, *, resume: bool) -> tuple[Measure, ...]:
    """Return the measures that this start of the trainer goes on with; a fresh one computes as the recipe says."""
    taken = read_measures(output, written) if resume else ()
    if taken:
        write_measures(output, written, taken)
    else:
        (output / FILE).unlink(missing_ok=True)
    return taken


def _read(folder: Path) -> dict[str, Any] | None:
    return read_json(folder / FILE)


def _measures(taken: dict[str, Any]) -> tuple[Measure, ...]:
    try:
        return TypeAdapter(tuple[Measure, ...]).validate_python(taken.get("measures", ()))
    except ValidationError:
        return ()


def _digest(written: Recipe) -> str:
    sections = to_mapping(written)
    relevant = [sections["training"], sections["evaluation"], sections["data"]["max_length"]]
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()
