"""Whether a run fits a GPU: what is counted follows the run file, and a run that does not fit is told what would."""

from __future__ import annotations

from typing import Any

import pytest

from runner.cloud_api.models import Offer
from runner.planning.estimate.fit import USABLE_SHARE, DoesNotFitError, GpuNeed, nearest_fit, rows_that_fit
from runner.planning.estimate.model_shape import shape_of
from runner.run.run_file import RunFile
from tests.unit.runner.planning.estimate.test_model_shape import LLAMA_8B

LLAMA = shape_of(LLAMA_8B)
DATA = {"longest_tokens": 700}


def run_file(**sections: Any) -> RunFile:
    return RunFile.model_validate({"data": {"train_path": "x", **sections.pop("data", {})}, **sections})


def offer(gib: float, name: str = "A10") -> Offer:
    return Offer(f"gpu_1x_{name.lower()}", "us-west-1", False, 0.75, name, 1, gib, available=True)


def need(**sections: Any) -> GpuNeed:
    return GpuNeed(run_file(**sections), LLAMA, DATA)


def test_a_packed_row_is_full_and_another_holds_the_longest_sample() -> None:
    assert need(data={"max_length": 2048}).row_tokens == 2048
    assert need(data={"max_length": 2048, "packing": False}).row_tokens == 700
    assert need(data={"max_length": 512, "packing": False}).row_tokens == 512


@pytest.mark.parametrize(
    "more",
    [
        {"training": {"per_device_train_batch_size": 4}},
        {"training": {"gradient_checkpointing": False}},
        {"training": {"optim": "adamw_torch"}},
        {"adapter": {"lora_r": 64}},
        {"data": {"max_length": 8192}},
        {"model": {"load_in_4bit": False}},
        {"model": {"bnb_4bit_use_double_quant": False}},
        {"model": {"dtype": "float32"}},
    ],
)
def test_what_costs_memory_is_counted(more: dict[str, Any]) -> None:
    assert need(**more).gpu_gib > need().gpu_gib


def test_dropout_keeps_a_mask() -> None:
    assert need(adapter={"lora_dropout": 0.0}).gpu_gib < need().gpu_gib


def test_float32_needs_twice_the_memory_for_what_is_not_quantised() -> None:
    parts, old = need().parts_gib, need(model={"dtype": "float32"}).parts_gib

    assert old["base model, unquantised"] == 2 * parts["base model, unquantised"]
    assert old["base model, 4 bit"] == parts["base model, 4 bit"]


def test_an_8b_model_at_2048_tokens_takes_a_gpu_of_12_gib() -> None:
    """torchtune publishes 7.4 GiB in use for two such rows of the same model."""
    assert 8.0 < need().gpu_gib < 12.0


def test_a_run_that_fits_passes() -> None:
    need().check([offer(16.0), offer(24.0)])
    need().check([])


def test_a_run_that_fits_no_gpu_is_shown_the_nearest_that_would_do() -> None:
    with pytest.raises(DoesNotFitError) as caught:
        need(training={"per_device_train_batch_size": 64}).check([offer(16.0, "T4"), offer(24.0)])

    assert caught.value.message.startswith("plan: the run needs a GPU of ")
    assert caught.value.message.endswith("(64 x 2048 tokens in a micro-batch), and the largest here, A10, has 24 GiB")
    assert caught.value.resolution.startswith("these settings would fit: training.per_device_train_batch_size=")
    assert "base model, 4 bit: 3.35 GiB" in (caught.value.details or "")
    assert caught.value.exit_code == 2


def test_a_model_that_fits_no_gpu_in_any_way_is_reported() -> None:
    with pytest.raises(DoesNotFitError) as caught:
        need().check([offer(4.0, "small")])

    assert caught.value.resolution == "take a smaller base model, or machines with larger GPUs"


def test_the_nearest_fit_changes_as_little_as_it_can() -> None:
    wide = run_file(training={"per_device_train_batch_size": 16, "gradient_accumulation_steps": 1})

    found = nearest_fit(wide, LLAMA, DATA, 24.0)

    assert found is not None
    rows = found["training.per_device_train_batch_size"]
    assert set(found) == {"training.per_device_train_batch_size", "training.gradient_accumulation_steps"}
    assert rows * found["training.gradient_accumulation_steps"] == 16
    assert GpuNeed(run_file(training={"per_device_train_batch_size": rows}), LLAMA, DATA).gpu_gib <= 24.0
    assert GpuNeed(run_file(training={"per_device_train_batch_size": rows * 2}), LLAMA, DATA).gpu_gib > 24.0


def test_the_length_is_the_last_to_change() -> None:
    long = run_file(data={"max_length": 65536}, training={"gradient_checkpointing": False})

    found = nearest_fit(long, LLAMA, DATA, 16.0)

    assert found is not None
    assert found["training.gradient_checkpointing"] is True
    assert found["data.max_length"] < 65536


def test_the_rows_that_fit_are_those_of_the_memory_that_is_there() -> None:
    rows = rows_that_fit(run_file(), LLAMA, DATA, 24.0)

    def total(count: int) -> float:
        return need(training={"per_device_train_batch_size": count}).gpu_gib

    assert total(rows) <= 24.0 < total(rows + 1)
    assert rows_that_fit(run_file(), LLAMA, DATA, 24.0 * USABLE_SHARE) < rows
