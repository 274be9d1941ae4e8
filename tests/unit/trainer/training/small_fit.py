"""Training of the tiny model alone, without evaluation of the base, export and acceptance: a few steps in a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from trainer.base_model.load import load_base, load_tokenizer, prepare_base_model, resolve_device
from trainer.config import Recipe
from trainer.events import EventLog
from trainer.training.fitting import build_trainer, fit
from trainer.training.phases import _read_inputs
from trainer.training.qlora_trainer import QloraTrainer
from trainer.training.run import Run
from trainer.training.stopping import StopRequest

FINGERPRINTS: Mapping[str, str] = {"recipe": "r", "data": "d", "base_model": "b", "environment": "e"}


@contextmanager
def small_trainer(recipe: Recipe, output: Path) -> Iterator[tuple[Run, QloraTrainer]]:
    """Give the tiny model's trainer, as a run builds it."""
    output.mkdir(parents=True, exist_ok=True)
    with closing(EventLog(output / "events.jsonl")) as events:
        run = Run(recipe, output, events, StopRequest())
        inputs = _read_inputs(run)
        location = prepare_base_model(recipe.model)
        model = load_base(recipe, location, quantised=recipe.model.load_in_4bit)
        tokenizer = load_tokenizer(location, inputs.facts, recipe.model)
        device = resolve_device(recipe.run)
        yield run, build_trainer(run, model, tokenizer, inputs.encoded, FINGERPRINTS, device)


def fit_small(recipe: Recipe, output: Path, *, resume: bool = False) -> QloraTrainer:
    """Train and return the trainer."""
    with small_trainer(recipe, output) as (run, trainer):
        fit(run, trainer, FINGERPRINTS, resume=resume)
        return trainer
