"""How many steps a run has: as TRL packs and transformers counts."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

from trainer.config.recipe import Recipe
from trainer.data.chat import EncodedSample
from trainer.data.steps import RunSteps, packed_rows, settle_accumulation, steps_of_run


@dataclass(frozen=True)
class Encoded:
    """Samples as tokens, as far as steps depend on them."""

    train: tuple[EncodedSample, ...]


def of(lengths: list[int], *, packing: bool = False, **training: Any) -> RunSteps:
    return steps_of_run(recipe(packing=packing, **training), encoded(lengths))


def recipe(*, packing: bool = False, **training: Any) -> Recipe:
    return Recipe.model_validate({"data": {"max_length": 64, "packing": packing}, "training": training})


def encoded(lengths: list[int]) -> Any:
    return Encoded(tuple(EncodedSample([1] * length, [1] * length, length) for length in lengths))


@pytest.mark.parametrize("count", [1, 24, 2300])
def test_rows_are_those_that_trl_packs(count: int) -> None:
    import datasets
    from trl import pack_dataset

    chance = random.Random(count)
    lengths = [chance.randint(1, 64) for _ in range(count)]
    data = datasets.Dataset.from_dict({"input_ids": [[1] * length for length in lengths]})

    assert packed_rows(lengths, 64) == len(pack_dataset(data, 64, "bfd"))


def test_steps_are_counted_as_transformers_does() -> None:
    assert of([8] * 40, gradient_accumulation_steps=16).total == 6  # three an epoch, the last of eight rows
    assert of([8] * 40, gradient_accumulation_steps=16, num_train_epochs=0.5).total == 2
    assert of([8] * 40, gradient_accumulation_steps=4, per_device_train_batch_size=4).total == 6
    assert of([8] * 3, gradient_accumulation_steps=16, num_train_epochs=1).total == 1
    assert of([8] * 40, max_steps=7).total == 7


def test_a_step_of_a_small_data_set_has_fewer_micro_batches_where_that_is_left_open() -> None:
    assert (of([8] * 400).rows_in_step, of([8] * 400).lowered_from) == (16, None)
    assert (of([8] * 40).rows_in_step, of([8] * 40).total, of([8] * 40).lowered_from) == (8, 10, 16)
    assert (of([8] * 3).rows_in_step, of([8] * 3).total, of([8] * 3).are_few) == (1, 6, True)
    assert of([8] * 3, max_steps=20).rows_in_step == 16
    assert "lowered from 16" in of([8] * 40).in_words()


def test_the_recipe_gets_the_number_and_keeps_one_that_it_has() -> None:
    settled = settle_accumulation(recipe(), encoded([8] * 40))
    fixed = settle_accumulation(recipe(gradient_accumulation_steps=16), encoded([8] * 40))

    assert (settled.training.gradient_accumulation_steps, settled.effective_batch_rows) == (8, 8)
    assert fixed.training.gradient_accumulation_steps == 16


def test_packed_rows_count() -> None:
    assert of([32] * 40, packing=True, gradient_accumulation_steps=1, num_train_epochs=1).total == 20


def test_a_resumed_run_keeps_the_rows_of_its_steps() -> None:
    longer = recipe(num_train_epochs=20)

    assert settle_accumulation(longer, encoded([8] * 40)).effective_batch_rows == 16
    assert settle_accumulation(longer, encoded([8] * 40), 8).effective_batch_rows == 8
    assert settle_accumulation(recipe(gradient_accumulation_steps=4), encoded([8] * 40), 8).effective_batch_rows == 4
