"""Stop once the eval loss has not fallen for a while, judged from the history, so that a resume judges the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainer.config.recipe import Recipe


class EarlyStopping(TrainerCallback):  # type: ignore[misc]
    """Ends training after some evaluations in a row without a lower loss.

    It counts in the log history, which a checkpoint has, and keeps no count of its own, as transformers' callback does.
    """

    def __init__(self, patience: int) -> None:
        """Allow so many evaluations without a lower loss."""
        self._patience = patience

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Ask for the end where there were too many."""
        if evaluations_since_best(state.log_history) >= self._patience:
            control.should_training_stop = True


def has_stopped(checkpoint: Path, recipe: Recipe) -> bool:
    """Return whether the run had ended early when a checkpoint was saved: then nothing is left to train."""
    patience = recipe.evaluation.early_stopping_patience
    if patience is None:
        return False
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    return evaluations_since_best(state.log_history) >= patience


def evaluations_since_best(history: Sequence[Mapping[str, Any]]) -> int:
    """Return how many evaluations there were after the one with the lowest loss."""
    losses = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0
