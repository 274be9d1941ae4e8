"""Training of the tiny model alone, without evaluation of the base, export and acceptance: a few steps in a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from trainer.base_model.load import load_base, load_tokenizer, prepare_base_model, resolve_device
from trainer.checkpoints.complete import newest_complete
from trainer.checkpoints.recipes import recipe_values
from trainer.config.recipe import Recipe
from trainer.events import EventLog, read_events
from trainer.training.fitting import build_trainer, fit
from trainer.training.phases import _read_inputs
from trainer.training.qlora_trainer import QloraTrainer
from trainer.training.run import Run
from trainer.training.stopping import StopRequest


def fingerprints(recipe: Recipe) -> dict[str, str]:
    """Return what a checkpoint belongs to; data, base model and environment are the same in a test."""
    return {"recipe": str(recipe_values(recipe)), "data": "d", "base_model": "b", "environment": "e"}


@contextmanager
def small_trainer(recipe: Recipe, output: Path, *, resume: bool = False) -> Iterator[tuple[Run, QloraTrainer]]:
    """Give the tiny model's trainer, as a run builds it."""
    output.mkdir(parents=True, exist_ok=True)
    with closing(EventLog(output / "events.jsonl")) as events:
        run = Run(recipe, output, events, StopRequest())
        newest = newest_complete(output / "checkpoints")[0] if resume else None
        inputs = _read_inputs(run, newest)
        recipe = run.recipe
        location = prepare_base_model(recipe.model)
        model = load_base(recipe, location, quantised=recipe.model.load_in_4bit)
        tokenizer = load_tokenizer(location, inputs.facts, recipe.model)
        device = resolve_device(recipe.run)
        yield run, build_trainer(run, model, tokenizer, inputs.encoded, fingerprints(recipe), device)


def fit_small(recipe: Recipe, output: Path, *, resume: bool = False) -> QloraTrainer:
    """Train and return the trainer."""
    with small_trainer(recipe, output, resume=resume) as (run, trainer):
        newest = newest_complete(output / "checkpoints") if resume else None
        fit(run, trainer, fingerprints(run.recipe), newest)
        return trainer


def adapter_of(trainer: QloraTrainer) -> dict[str, torch.Tensor]:
    """Return a copy of what has been trained."""
    return {name: value.detach().clone() for name, value in trainer.model.named_parameters() if value.requires_grad}


def is_same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Return whether two adapters are the same, byte for byte."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def steps_in(output: Path) -> list[dict[str, Any]]:
    """Return the steps that a run has reported."""
    return [event for event in read_events(output / "events.jsonl") if event["event"] == "step"]
