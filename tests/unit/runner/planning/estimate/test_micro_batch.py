"""How many rows are computed at once where the plan chooses them, and that an optimizer step stays the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.cloud_api.models import Offer
from runner.planning.estimate.forecast import Forecast, forecast
from runner.planning.estimate.micro_batch import is_chosen_here, row_choices, row_settings, with_rows
from runner.run.run_file import RunFile
from tests.unit.runner.planning.estimate.test_forecast import task

H100 = Offer("gpu_1x_h100_sxm5", "us-west-1", False, 2.49, "H100 SXM", 1, 80.0, available=True)


def run_file(**training: Any) -> RunFile:
    return RunFile.model_validate({"data": {"train_path": "x"}, "training": training})


def on_h100(max_length: int, **training: Any) -> Forecast:
    return forecast(task(data={"max_length": max_length}, training=training), "lambda", H100)


def test_a_number_in_the_run_file_is_left_alone() -> None:
    fixed = run_file(per_device_train_batch_size=4, gradient_accumulation_steps=8)

    assert not is_chosen_here(fixed)
    assert row_choices(fixed) == [4]
    assert on_h100(256, per_device_train_batch_size=2).micro_batch_rows == 2


def test_whatever_divides_an_optimizer_step_may_be_chosen() -> None:
    chosen = run_file(gradient_accumulation_steps=12)

    assert is_chosen_here(chosen)
    assert row_choices(chosen) == [1, 2, 3, 4, 6, 12]


def test_a_step_of_very_many_rows_is_taken_apart_at_once() -> None:
    assert len(row_choices(run_file(gradient_accumulation_steps=10**12))) == 169
    assert row_choices(run_file(gradient_accumulation_steps=16)) == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 6, 12])
def test_a_step_has_as_many_rows_as_before(rows: int) -> None:
    found = with_rows(run_file(gradient_accumulation_steps=12), rows)

    assert found.training.micro_batch_rows == rows
    assert found.effective_batch_rows == 12


def test_rows_that_make_no_whole_step_are_refused() -> None:
    with pytest.raises(ValueError, match="12 rows of an optimizer step are no multiple of 5"):
        row_settings(run_file(gradient_accumulation_steps=12), 5)


def test_short_rows_are_put_together_until_a_gpu_is_as_fast_as_it_gets() -> None:
    """Starting kernels and unpacking weights takes a micro-batch of 256 tokens longer than computing it."""
    short, long = on_h100(256), on_h100(16_384)

    assert short.micro_batch_rows > 1
    assert long.micro_batch_rows == 1
    alone = on_h100(256, per_device_train_batch_size=1)
    assert short.durations is not None
    assert alone.durations is not None
    assert short.durations.tokens_per_s.expected > alone.durations.tokens_per_s.expected


def test_no_more_rows_are_chosen_than_fit() -> None:
    small = replace(H100, gpu_memory_gib=8.8)
    found = forecast(task(data={"max_length": 256}), "lambda", small)

    assert found.fits
    assert 1 < found.micro_batch_rows <= found.rows < on_h100(256).micro_batch_rows


def test_a_gpu_that_not_even_one_row_fits_is_reported_for_one_row() -> None:
    found = forecast(task(), "lambda", replace(H100, gpu_memory_gib=4.0))

    assert (found.rows, found.micro_batch_rows, found.fits) == (0, 1, False)


def test_the_work_is_the_same_however_many_rows_there_are_at_once() -> None:
    whole = task(training={"max_steps": 2})

    assert {whole.at(rows).work.train_tokens for rows in (1, 2, 16)} == {whole.work.train_tokens}
    assert whole.at(4).work.micro_batch_tokens == pytest.approx(4 * whole.work.micro_batch_tokens, rel=0.001)
