from dataclasses import replace

import pytest

from runner.planning.estimate.gpu_specs import GpuSpec, find_gpu
from runner.planning.estimate.speed import MEASURED, Speed, cpu_speed, flop_per_token, gpu_speed, micro_batch_floor_s

LLAMA_8B = 8.03e9


def gpu(name: str, memory_gib: float | None = None) -> GpuSpec:
    found = find_gpu(name, memory_gib)
    assert found is not None
    return found


def trained(spec: GpuSpec, parameters: float, micro_batch_tokens: int = 2048) -> Speed:
    speed = gpu_speed(spec, parameters, 0, is_checkpointed=True, micro_batch_tokens=micro_batch_tokens)
    assert speed is not None
    return speed


def test_a_frozen_weight_costs_four_flop_a_token_and_six_with_checkpointing() -> None:
    assert flop_per_token(1e9, 0, is_checkpointed=False) == 4e9
    assert flop_per_token(1e9, 0, is_checkpointed=True) == 6e9


def test_an_adapters_weight_costs_two_more_for_its_gradient() -> None:
    assert flop_per_token(0, 1e6, is_checkpointed=False) == 6e6
    assert flop_per_token(0, 1e6, is_checkpointed=True) == 8e6


@pytest.mark.parametrize(
    ("name", "parameters", "tokens_per_s"),
    [("RTX 4090", LLAMA_8B, 2413), ("A100 80GB", 7.72e9, 8 * 2048 / 7.0), ("A100 80GB", 72.29e9, 8 * 2048 / 59.5)],
)
def test_published_speeds_are_within_the_range(name: str, parameters: float, tokens_per_s: float) -> None:
    speed = trained(gpu(name), parameters).tokens_per_s

    assert speed.low <= tokens_per_s * 1.001
    assert tokens_per_s <= speed.high * 1.001


def test_every_measured_gpu_is_in_the_table_and_below_its_peak() -> None:
    for point in MEASURED:
        spec = gpu(point.gpu)
        assert spec.name == point.gpu
        assert spec.training_tflops is None or point.sustained_flop_per_s < spec.training_tflops * 1e12


def test_a_gpu_that_nobody_measured_takes_after_its_kin() -> None:
    speed = trained(gpu("L4"), LLAMA_8B)

    assert speed.basis == "measured on RTX 4090, RTX 6000 Ada"
    assert any("AnswerDotAI" in source for source in speed.sources)


def test_a_gpu_without_kin_takes_after_all_and_says_so() -> None:
    assert trained(gpu("B200"), LLAMA_8B).basis == "no GPU of its kind was measured: all that were"


def test_a_single_measurement_is_no_certainty() -> None:
    speed = trained(gpu("RTX 3090"), 70e9, 8192).tokens_per_s

    assert speed.low < speed.expected < speed.high


def test_a_gpu_without_peak_and_measurement_has_no_speed() -> None:
    spec = gpu("Apple M3 Max")

    assert gpu_speed(spec, LLAMA_8B, 0, is_checkpointed=True, micro_batch_tokens=2048) is None


def test_apples_speed_is_the_published_one() -> None:
    speed = gpu_speed(gpu("Apple M2 Ultra"), 6.74e9, 0, is_checkpointed=False, micro_batch_tokens=2048)

    assert speed is not None
    assert speed.tokens_per_s.expected == pytest.approx(475 * 3 / 4)  # all layers learn: 4 for each weight, not 3


def test_a_gpu_without_bfloat16_is_as_fast_as_its_float16() -> None:
    old = gpu("T4")
    slow = replace(old, fp16_tflops=None)

    speeds = [trained(spec, LLAMA_8B).tokens_per_s.expected for spec in (old, slow)]
    assert speeds[0] / speeds[1] == pytest.approx(65 / 8.1)


def test_short_micro_batches_leave_a_gpu_waiting() -> None:
    short, long = (trained(gpu("H100"), 1e9, tokens).tokens_per_s for tokens in (128, 8192))

    assert short.expected == pytest.approx(128 / micro_batch_floor_s(1e9).expected)
    assert long.expected > 10 * short.expected


def test_the_floor_grows_with_the_weights() -> None:
    small, middle, large = (micro_batch_floor_s(parameters) for parameters in (135e6, 7e9, 144.58e9))

    assert small == micro_batch_floor_s(1e9)
    assert small.expected < middle.expected
    assert large.high == pytest.approx(2 * 27.4 / 8)


def test_the_benchmark_of_two_cores_comes_out_as_it_was_measured() -> None:
    speed = cpu_speed(2, 134.5e6, 0, is_checkpointed=False).tokens_per_s

    assert speed.expected == pytest.approx(189)
    assert speed.low < 189 < speed.high
    assert cpu_speed(4, 134.5e6, 0, is_checkpointed=False).tokens_per_s.expected == pytest.approx(378)
