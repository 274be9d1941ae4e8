"""What there is to do in a run, counted from its run file and its data; what it takes on a machine."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import pytest

from runner.cloud_api.models import Offer
from runner.planning.estimate.forecast import CUDA_PACKAGE_BYTES, Task, forecast, make_task
from runner.planning.estimate.model_shape import shape_of
from runner.run.run_file import RunFile
from tests.unit.runner.planning.estimate.test_model_shape import LLAMA_8B

A10 = Offer("gpu_1x_a10", "us-west-1", False, 0.75, "A10", 1, 24.0, available=True)
DATA = {"train_tokens": 60_000, "train_samples": 100, "eval_tokens": 10_000, "eval_samples": 20, "longest_tokens": 900}


def task(**sections: Any) -> Task:
    values = {"data": {"train_path": "x", **sections.pop("data", {})}, **sections}
    run_file = RunFile.model_validate(values)
    return make_task(run_file, shape_of(LLAMA_8B), DATA, model_bytes=0, staged_bytes=0, data_bytes=1000)


def test_epochs_multiply_what_is_trained_on() -> None:
    assert task(training={"num_train_epochs": 3}).work.train_tokens == 180_000
    assert task(training={"num_train_epochs": 0.5}).work.train_tokens == 30_000


def test_max_steps_count_in_place_of_epochs() -> None:
    packed = {"max_steps": 2, "gradient_accumulation_steps": 4, "per_device_train_batch_size": 1}

    assert task(training=packed, data={"max_length": 1000}).work.train_tokens == 2 * 4 * 970
    assert task(training=packed | {"max_steps": 100, "num_train_epochs": 1}).work.train_tokens == 100 * 4 * 1987
    assert task(training=packed | {"max_steps": 10, "gradient_accumulation_steps": 99}).work.train_tokens == 600_000


def test_a_row_that_is_not_packed_has_the_mean_length() -> None:
    found = task(data={"packing": False}, training={"per_device_train_batch_size": 2}).work

    assert (found.micro_batch_tokens, found.is_packed) == (1200, False)
    assert task(data={"packing": False}).work.is_packed, "one row has no padding"


@pytest.mark.parametrize(
    ("evaluation", "times"),
    [
        ({"eval_strategy": "no"}, 4),
        ({"eval_strategy": "epoch"}, 4 + 2),
        ({"eval_strategy": "steps", "eval_steps": 1}, 4 + 3),
        ({"eval_strategy": "no", "max_eval_samples": 10}, 2),
    ],
)
def test_every_evaluation_is_counted(evaluation: dict[str, Any], times: float) -> None:
    """Base and adapter, in four bits and whole, and those while training: 120,000 tokens are 3 whole steps here."""
    assert task(evaluation=evaluation).work.eval_tokens == round(times * 10_000)


def test_what_is_downloaded_is_counted() -> None:
    work = task().work

    assert (work.package_bytes, work.model_bytes) == (CUDA_PACKAGE_BYTES, 2 * 8_030_261_248)
    assert work.adapter_bytes == 4 * 41_943_040


def test_a_forecast_reports_memory_hours_and_dollars() -> None:
    found = forecast(task(), "lambda", A10)

    assert found.fits
    assert found.rows >= 1
    assert found.durations is not None
    assert found.cost is not None
    assert found.hours == pytest.approx(found.durations.total_s.expected / 3600)
    assert found.usd == pytest.approx(found.hours * 0.75, rel=0.1)
    assert json.loads(json.dumps(found.to_mapping()))["gpu"] == "A10"


def test_a_forecast_keeps_the_work_of_its_machines_rows() -> None:
    large = task(training={"per_device_train_batch_size": "auto"})
    found = forecast(large, "lambda", Offer("gpu_1x_h100", "us-west-1", False, 3.0, "H100", 1, 80.0))

    assert found.micro_batch_rows > 1
    assert found.to_mapping()["work"] == asdict(large.at(found.micro_batch_rows).work)


def test_a_gpu_that_nobody_knows_has_no_price_for_the_run() -> None:
    found = forecast(task(), "lambda", Offer("new", "here", False, 1.0, "X9000", 1, 24.0))

    assert (found.usd, found.hours, found.durations) == (math.inf, math.inf, None)
    assert found.fits


def test_a_gpu_without_bfloat16_is_planned_in_float16_and_needs_no_more_memory() -> None:
    new = forecast(task(), "lambda", A10)
    old = forecast(task(), "lambda", Offer("old", "here", False, 0.5, "Quadro RTX 6000", 1, 24.0))

    assert (old.needed_gib, old.rows) == (new.needed_gib, new.rows)
    whole = forecast(task(model={"dtype": "float32"}), "lambda", Offer("old", "here", False, 0.5, "T4", 1, 16.0))
    assert whole.needed_gib > old.needed_gib


def test_a_cloud_bills_whole_units() -> None:
    by_minute = forecast(task(), "lambda", A10)
    by_second = forecast(task(), "runpod", A10)

    assert by_minute.cost is not None
    assert by_second.cost is not None
    assert by_minute.cost.billed_s.expected % 60 == 0
    assert by_second.cost.extras_usd["rounding"].expected < by_minute.cost.extras_usd["rounding"].expected + 0.01


def test_a_spot_machine_pays_for_interruptions() -> None:
    spot = Offer("g6.xlarge", "us-east-1", True, 0.3, "L4", 1, 24.0)
    found = forecast(task(), "aws", spot)

    assert found.cost is not None
    assert found.cost.extras_usd["interruptions"].expected > 0


def test_a_run_that_asks_for_no_gpu_is_reckoned_on_processors() -> None:
    without = task(compute={"env": "lambda", "gpu_required": False})
    found = forecast(without, "lambda", A10)

    assert (found.gpu, found.needed_gib, found.fits) == (None, 0.0, True)
    assert found.durations is not None
    with_gpu = forecast(task(), "lambda", A10).durations
    assert with_gpu is not None
    assert found.durations.seconds["train"].expected > 10 * with_gpu.seconds["train"].expected
    assert without.work.package_bytes < CUDA_PACKAGE_BYTES
