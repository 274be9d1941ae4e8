"""Serve a stop request inside the training loop, so that the resumed run equals an undisturbed one, bit for bit."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainer.training.stopping import StopRequest


class Stoppable(Protocol):
    """What the callback needs of a trainer."""

    def save_now(self) -> None:
        """Save the last whole optimizer step."""

    def evaluate_if_due(self) -> None:
        """Evaluate the current step, if that was left undone."""


class StopCallback(TrainerCallback):  # type: ignore[misc]
    """Serves a stop request at the next micro-batch, so that the resumed run is the same, bit for bit.

    The unfinished step's gradients are dropped, and the random state saved is the one at the end of the last whole
    step: what a regular checkpoint of that step would hold.
    """

    def __init__(self, trainer: Stoppable, stop: StopRequest) -> None:
        """Listen to ``stop`` on behalf of ``trainer``."""
        self._trainer = trainer
        self._stop = stop
        self._random_state: dict[str, Any] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Make up for an evaluation that an earlier stop cut short."""
        self._trainer.evaluate_if_due()

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Between two micro-batches: save the last whole step and leave."""
        if not self._stop.is_requested:
            return
        if self._random_state is not None:
            now = _random_state()
            _set_random_state(self._random_state)
            self._trainer.save_now()
            _set_random_state(now)
        control.should_training_stop = True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """After an optimizer step: keep the random state that its checkpoint would hold."""
        self._random_state = _random_state()
        if self._stop.is_requested:
            control.should_evaluate = False
            control.should_save = True
            control.should_training_stop = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save what was evaluated, so that the best evaluation has its checkpoint."""
        control.should_save = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start no evaluation on the way out."""
        if self._stop.is_requested:
            control.should_evaluate = False


def _random_state() -> dict[str, Any]:
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "cpu": torch.random.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _set_random_state(state: Mapping[str, Any]) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.random.set_rng_state(state["cpu"])
    if "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])
