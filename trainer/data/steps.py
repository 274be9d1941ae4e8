"""How many optimizer steps a run has, known from the lengths of its samples before anything is loaded."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from trainer.config.recipe import Recipe
from trainer.config.sections import MOST_ACCUMULATION
from trainer.data.encoded import lengths_of
from trainer.data.samples import EncodedDataset

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)
FEWEST_STEPS = 10
"""Below this many steps the learning rate has hardly risen and fallen: little is learned, whatever the data."""
PACKED_AT_ONCE = 1000
"""Samples that TRL packs together: ``datasets.map`` hands them over by the thousand."""


@dataclass(frozen=True)
class RunSteps:
    """The optimizer steps of a run.

    Attributes:
        rows: Rows of one epoch: packed rows, or samples.
        rows_in_step: Rows in one step.
        total: Steps of the whole run.
        is_limited: Whether ``max_steps`` says how many there are.
        lowered_from: Micro-batches that a step would have had if the data set were not so small, or ``None``.
    """

    rows: int
    rows_in_step: int
    total: int
    is_limited: bool = False
    lowered_from: int | None = None

    @property
    def are_few(self) -> bool:
        """Whether the run has too few steps to learn much."""
        return self.total < FEWEST_STEPS

    def in_words(self) -> str:
        """Return the steps as a sentence without its end."""
        steps, in_step = _counted(self.total, "optimizer step"), _counted(min(self.rows_in_step, self.rows), "row")
        words = f"{steps} of {in_step}, from {_counted(self.rows, 'row')} an epoch"
        if self.lowered_from is not None:
            words += f"; micro-batches in a step lowered from {self.lowered_from}, for so few rows"
        return words

    @property
    def remedy(self) -> str:
        """What gives the run more steps, as one imperative line."""
        if self.is_limited:
            return "raise training.max_steps, or leave it out, so that training.num_train_epochs counts"
        return (
            "raise training.num_train_epochs, set training.max_steps, lower training.gradient_accumulation_steps or "
            "data.max_length (with packing), or add samples"
        )


def steps_of_run(recipe: Recipe, encoded: EncodedDataset) -> RunSteps:
    """Return the steps that a run of these samples has."""
    rows = _rows(recipe, encoded)
    settled = _accumulation(recipe, rows)
    lowered = recipe.training.gradient_accumulation_steps == "auto" and settled < MOST_ACCUMULATION
    in_step = recipe.training.micro_batch_rows * settled
    return RunSteps(
        rows,
        in_step,
        _total(recipe, rows, settled),
        is_limited=recipe.training.max_steps is not None,
        lowered_from=MOST_ACCUMULATION if lowered else None,
    )


def settle_accumulation(recipe: AnyRecipe, encoded: EncodedDataset, rows_in_step: int | None = None) -> AnyRecipe:
    """Return the recipe with a number of micro-batches in a step, where it leaves that open.

    Args:
        recipe: The recipe.
        encoded: Its samples.
        rows_in_step: Rows in a step of the checkpoint to go on from: a longer run would get more, and other steps.
    """
    if recipe.training.gradient_accumulation_steps != "auto":
        return recipe
    settled = _accumulation(recipe, _rows(recipe, encoded))
    if rows_in_step is not None and rows_in_step % recipe.training.micro_batch_rows == 0:
        settled = rows_in_step // recipe.training.micro_batch_rows
    training = recipe.training.model_copy(update={"gradient_accumulation_steps": settled})
    return recipe.model_copy(update={"training": training})


def packed_rows(lengths: Sequence[int], max_length: int) -> int:
    """Return how many rows TRL packs samples into: best fit, the longest first.

    Args:
        lengths: Tokens of each sample, in the order of the data.
        max_length: Tokens of a row.
    """
    return sum(_bins(part, max_length) for part in _parts(lengths))


def _parts(lengths: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(lengths), PACKED_AT_ONCE):
        yield lengths[start : start + PACKED_AT_ONCE]


def _bins(lengths: Sequence[int], max_length: int) -> int:
    free: list[int] = []
    """What is left in each row, rising."""
    count = 0
    for length in sorted(lengths, reverse=True):
        place = bisect.bisect_left(free, length)
        if place < len(free):
            left = free.pop(place) - length
        else:
            count, left = count + 1, max_length - length
        bisect.insort(free, left)
    return count


def _rows(recipe: Recipe, encoded: EncodedDataset) -> int:
    lengths = [one.tokens for one in lengths_of(encoded.train)]
    return packed_rows(lengths, recipe.data.max_length) if recipe.data.packing else len(lengths)


def _total(recipe: Recipe, rows: int, accumulation: int) -> int:
    """Return the steps of a run, as transformers counts them: a part of a step at an epoch's end is one."""
    training = recipe.training
    if training.max_steps is not None:
        return training.max_steps
    micro_batches = math.ceil(rows / training.micro_batch_rows)
    return math.ceil(training.num_train_epochs * max(1, math.ceil(micro_batches / accumulation)))


def _accumulation(recipe: Recipe, rows: int) -> int:
    """Return the micro-batches in a step: as many as usual, fewer where the run would have too few steps."""
    wanted = recipe.training.gradient_accumulation_steps
    if wanted != "auto":
        return wanted
    if recipe.training.max_steps is not None:
        return MOST_ACCUMULATION  # fewer would make no more steps
    settled = MOST_ACCUMULATION
    while settled > 1 and _total(recipe, rows, settled) < FEWEST_STEPS:
        settled //= 2
    return settled


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
