"""The learning rate: above zero from the first step on, and that of the new length after a run was made longer."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from transformers import get_scheduler

from trainer.config.sections import TrainingSection
from trainer.training.schedule import schedule_options, start_above_zero, take_rate

PEAK = 0.1


def rates(name: str, warmup: int, steps: int, **training: Any) -> list[float]:
    """Return the rate of each step of a run."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=PEAK)
    options = schedule_options(TrainingSection(lr_scheduler_type=name, **training), steps)  # type: ignore[arg-type]
    scheduler = get_scheduler(
        name, optimizer, num_warmup_steps=warmup, num_training_steps=steps, scheduler_specific_kwargs=options
    )
    start_above_zero(scheduler, warmup)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    "name", sorted({*get_args(TrainingSection.model_fields["lr_scheduler_type"].annotation)} - {"constant"})
)
@pytest.mark.parametrize(("warmup", "steps"), [(1, 1), (1, 2), (3, 10), (5, 5)])
def test_every_step_learns_and_the_warm_up_rises_by_equal_parts(name: str, warmup: int, steps: int) -> None:
    found = rates(name, warmup, steps)

    assert min(found) > 0
    assert found[:warmup] == pytest.approx([PEAK * (step + 1) / (warmup + 1) for step in range(warmup)])
    assert found[warmup : warmup + 1] in ([], [PEAK])


def test_without_a_warm_up_the_schedule_is_transformers_own() -> None:
    assert rates("cosine", 0, 4)[0] == PEAK


def test_the_rate_after_loading_is_that_of_the_schedule_here() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=PEAK)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=8)
    scheduler.last_epoch = 4
    optimizer.param_groups[0]["lr"] = 0.0  # of the old schedule, which ended here

    take_rate(scheduler)

    assert optimizer.param_groups[0]["lr"] == PEAK / 2
    assert scheduler.get_last_lr() == [PEAK / 2]


def test_the_lowest_rate_and_the_length_of_the_fall_are_those_of_the_run_file() -> None:
    lowest = rates("cosine_with_min_lr", 0, 100, min_lr_ratio=0.5)
    falling = rates("warmup_stable_decay", 0, 10, decay_ratio=0.5)

    assert min(lowest) == pytest.approx(PEAK / 2, rel=0.01)
    fall = [PEAK * 0.5 * (1 + math.cos(math.pi * step / 5)) for step in range(5)]
    assert falling == pytest.approx([PEAK] * 5 + fall)
    assert min(rates("cosine_with_min_lr", 0, 100)) == pytest.approx(PEAK / 10, rel=0.05)
