"""The course of the learning rate: transformers' own, with a first step that learns and a length that may change."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trainer.config.sections import TrainingSection

MIN_LR_RATIO, DECAY_RATIO = 0.1, 0.1
"""Where a run file leaves them open: of ``cosine_with_min_lr``, and of ``warmup_stable_decay``."""
Rate = Callable[[int], float]


def schedule_options(training: TrainingSection, total_steps: int) -> dict[str, Any]:
    """Return what transformers wants to know besides warm-up and length, by the names that each schedule has for it."""
    lowest = training.min_lr_ratio
    if training.lr_scheduler_type == "cosine_with_min_lr":
        return {"min_lr_rate": MIN_LR_RATIO if lowest is None else lowest}
    if training.lr_scheduler_type == "warmup_stable_decay":
        falling = math.ceil(total_steps * (training.decay_ratio or DECAY_RATIO))
        return {"num_decay_steps": falling, "min_lr_ratio": lowest or 0.0}
    return {}


def start_above_zero(scheduler: Any, warmup_steps: int) -> None:
    """Let the warm-up of a scheduler begin above zero.

    transformers begins it at zero, so that the first step learns nothing: of a run of two steps half is lost, and the
    adapter of a run of one step is never moved. Here the rate rises by equal parts from the first step on.

    Args:
        scheduler: A scheduler of transformers at its first step.
        warmup_steps: Steps in which the rate rises.
    """
    if warmup_steps > 0:
        scheduler.lr_lambdas = [_risen(rate, warmup_steps) for rate in scheduler.lr_lambdas]
    take_rate(scheduler)


def take_rate(scheduler: Any) -> None:
    """Set the rate of the scheduler's present step.

    An optimizer that comes from a checkpoint has the rate of the schedule that it was saved with: zero at that one's
    end, where a run that was made longer has to go on.
    """
    rates = [
        base * rate(scheduler.last_epoch) for base, rate in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
    ]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = rates


def _risen(rate: Rate, warmup_steps: int) -> Rate:
    """Return a rate whose warm-up rises from one part of ``warmup_steps + 1`` on; a plain function, not saved."""

    def risen(step: int) -> float:
        return (step + 1) / (warmup_steps + 1) if step < warmup_steps else rate(step)

    return risen
