"""How many tokens a second a machine trains on: work per token, peak of the GPU, and what others reached of it.

Sources of the table: see each row. All rows train with a frozen base in four bits (or, on Apple's chips, with an
adapter), one row of packed or equally long samples after the other, and give tokens of one GPU.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from itertools import pairwise

from runner.planning.estimate.gpu_specs import GpuSpec, find_gpu
from runner.planning.estimate.ranges import Range, between

FLOP_PER_PASS = 2.0
"""A product with a weight costs a multiplication and an addition for each token."""
CHECKPOINTED = 6.0
"""FLOP for each weight and token with activation checkpointing: forward, forward again, backward to the activations."""
KEPT = 4.0
"""The same with the activations kept. The frozen weights get no gradient: that would be another 2."""
ENOUGH_POINTS = 3
SPREAD_OF = "A100 SXM 80 GB"
"""GPU whose points, of many models and lengths, show how far others may be off."""
QWEN = "github.com/QwenLM/Qwen README, Q-LoRA on one A100, micro-batch 1 x 8"
ANSWER_AI = "github.com/AnswerDotAI/fsdp_qlora benchmarks_03_2024.md"
TORCHTUNE = "github.com/meta-pytorch/torchtune README, compiled, 2 packed rows"
MLX = "github.com/ml-explore/mlx-examples lora/README.md"
BENCHMARKS = "docs/benchmarks.md"
MARCH_2024 = date(2024, 3, 31)
READ = date(2026, 11, 21)


@dataclass(frozen=True)
class Measured:
    """A speed that somebody measured and published.

    Attributes:
        gpu: The GPU as in ``gpu_specs.csv``.
        parameters: Weights of the model.
        tokens_per_s: Trained tokens a second on one GPU.
        flop_per_parameter: Work for each weight and token.
        as_of: The day that its source states, or else the day it was read.
        source: Where it is from.
    """

    gpu: str
    parameters: float
    tokens_per_s: float
    flop_per_parameter: float
    as_of: date
    source: str

    @property
    def sustained_flop_per_s(self) -> float:
        """Work that was done in a second."""
        return self.tokens_per_s * self.parameters * self.flop_per_parameter


MEASURED = (
    Measured("A100 SXM 80 GB", 7.72e9, 8 * 2048 / 7.0, CHECKPOINTED, READ, QWEN),
    Measured("A100 SXM 80 GB", 7.72e9, 8 * 8192 / 22.3, CHECKPOINTED, READ, QWEN),
    Measured("A100 SXM 80 GB", 14.17e9, 8 * 2048 / 11.8, CHECKPOINTED, READ, QWEN),
    Measured("A100 SXM 80 GB", 14.17e9, 8 * 8192 / 38.3, CHECKPOINTED, READ, QWEN),
    Measured("A100 SXM 80 GB", 72.29e9, 8 * 2048 / 59.5, CHECKPOINTED, READ, QWEN),
    Measured("A100 SXM 80 GB", 72.29e9, 8 * 8192 / 179.8, CHECKPOINTED, READ, QWEN),
    Measured("A100 SXM 80 GB", 3.21e9, 8035, CHECKPOINTED, READ, TORCHTUNE),
    Measured("A100 SXM 40 GB", 68.98e9, 1024 * 2048 / 1266 / 4, CHECKPOINTED, MARCH_2024, ANSWER_AI),
    Measured("A100 SXM 40 GB", 68.98e9, 1024 * 2048 / 672 / 8, CHECKPOINTED, MARCH_2024, ANSWER_AI),
    Measured("H100 SXM", 68.98e9, 1024 * 2048 / 667 / 4, CHECKPOINTED, MARCH_2024, ANSWER_AI),
    Measured("RTX 3090", 6.74e9, 1024 * 2048 / 875 / 2, CHECKPOINTED, MARCH_2024, ANSWER_AI),
    Measured("RTX A5000", 68.98e9, 1024 * 2048 / 2613 / 8, CHECKPOINTED, MARCH_2024, ANSWER_AI),
    Measured("RTX 4090", 6.74e9, 1024 * 2048 / 450 / 2, CHECKPOINTED, MARCH_2024, ANSWER_AI),
    Measured("RTX 4090", 8.03e9, 2413, CHECKPOINTED, READ, TORCHTUNE),
    Measured("RTX 6000 Ada", 68.98e9, 1024 * 2048 / 2904 / 4, CHECKPOINTED, MARCH_2024, ANSWER_AI),
    Measured("Apple M2 Ultra", 6.74e9, 475, 3.0, READ, f"{MLX}: 16 of 32 layers learn"),
    Measured("Apple M1 Max", 7.24e9, 250, 2.25, READ, f"{MLX}: 4 of 32 layers learn"),
)
"""Weights as the model cards count them. torchtune's rows for an ``A6000`` are left out: above that card's peak."""

CPU_CORE = Measured("CPU core", 134.5e6, 189 / 2, KEPT, READ, BENCHMARKS)
"""SmolLM2-135M on two cores of an AMD EPYC: 189 tokens a second."""

SLOW_MICRO_BATCH_S = ((1.84e9, 1.4 / 8), (7.72e9, 3.0 / 8), (14.17e9, 5.3 / 8), (72.29e9, 27.4 / 8))
"""Weights, and seconds that a micro-batch takes however short it is: Qwen's README, 256 tokens (read 2026-11-21)."""
FAST_MICRO_BATCH_S = ((1.3e9, 0.1062), (3e9, 0.1092), (7e9, 0.2208), (13e9, 0.3828))
"""The same with bitsandbytes' NF4, activations kept: github.com/Lightning-AI/litgpt resource tables (2023-10-20)."""


@dataclass(frozen=True)
class Speed:
    """How fast a machine trains.

    Attributes:
        tokens_per_s: Trained tokens a second.
        flop_per_s: Work in a second, for what is not training.
        basis: What it rests on, for people.
    """

    tokens_per_s: Range
    flop_per_s: Range
    basis: str
    sources: tuple[str, ...] = field(default=())


def flop_per_token(parameters: float, trainable_parameters: float, *, is_checkpointed: bool) -> float:
    """Return the work of training on one token.

    The frozen base: forward ``2P``, backward to the activations ``2P``, and ``2P`` again with activation checkpointing.
    The adapter: the same of its own weights, and ``2`` more for their gradients. Attention's own products, which grow
    with the length, are in what others reached, up to 8,192 tokens.

    Args:
        parameters: Weights of the base that a token passes, ``P``; of a mixture's experts only those it takes.
        trainable_parameters: Weights of the adapter.
        is_checkpointed: Whether activations are computed again.

    Source: Kaplan et al. 2020 (arXiv:2001.08361), section 2.1, less the gradients of the frozen weights.
    """
    passes = 3 if is_checkpointed else 2
    return FLOP_PER_PASS * (passes * parameters + (passes + 1) * trainable_parameters)


def gpu_speed(
    spec: GpuSpec, parameters: float, trainable_parameters: float, *, is_checkpointed: bool, micro_batch_tokens: float
) -> Speed | None:
    """Return how fast one GPU trains, or ``None`` where neither its peak nor its speed is known.

    Args:
        spec: The GPU.
        parameters: Weights of the base that a token passes.
        trainable_parameters: Weights of the adapter.
        is_checkpointed: Whether activations are computed again.
        micro_batch_tokens: Tokens in one micro-batch; short ones leave a GPU waiting for its orders.
    """
    work = _sustained(spec)
    if work is None:
        return None
    flop_per_s, basis, points = work
    flop = flop_per_token(parameters, trainable_parameters, is_checkpointed=is_checkpointed)
    compute_s = flop_per_s.into(flop * micro_batch_tokens)
    least_s = micro_batch_floor_s(parameters)
    slowest_s = Range(
        max(compute_s.low, least_s.low), max(compute_s.expected, least_s.expected), max(compute_s.high, least_s.high)
    )
    return Speed(slowest_s.into(micro_batch_tokens), flop_per_s, basis, _sources(points))


def cpu_speed(cores: int, parameters: float, trainable_parameters: float, *, is_checkpointed: bool) -> Speed:
    """Return how fast processor cores train: what two of them reached, times their number, as far off as GPUs are."""
    flop_per_s = _widened([CPU_CORE.sustained_flop_per_s]).times(cores)
    flop = flop_per_token(parameters, trainable_parameters, is_checkpointed=is_checkpointed)
    return Speed(flop_per_s.times(1 / flop), flop_per_s, f"two cores in {BENCHMARKS}", (BENCHMARKS,))


def micro_batch_floor_s(parameters: float) -> Range:
    """Return the seconds that a micro-batch takes at least: starting kernels, and unpacking every weight."""
    return between(
        *sorted((_between_points(FAST_MICRO_BATCH_S, parameters), _between_points(SLOW_MICRO_BATCH_S, parameters)))
    )


@cache
def _sustained(spec: GpuSpec) -> tuple[Range, str, list[Measured]] | None:
    """Return the work in a second: measured on this GPU, else on its kin, else on any, as a share of the peak."""
    own = [point for point in MEASURED if point.gpu == spec.name]
    peak = spec.training_tflops
    if peak is None:
        return (
            (_widened([point.sustained_flop_per_s for point in own]), f"measured on {spec.name}", own) if own else None
        )
    shares = [(point, share) for point in MEASURED if (share := _share_of_peak(point)) is not None]
    kin = [pair for pair in shares if _capability(pair[0]) == spec.compute_capability and spec.compute_capability]
    chosen, basis = shares, "no GPU of its kind was measured: all that were"
    if own:
        chosen, basis = [pair for pair in shares if pair[0].gpu == spec.name], f"measured on {spec.name}"
    elif kin:
        chosen, basis = kin, f"measured on {', '.join(dict.fromkeys(pair[0].gpu for pair in kin))}"
    reached = _widened([share for _, share in chosen])
    return reached.times(peak * 1e12), basis, [point for point, _ in chosen]


def _share_of_peak(point: Measured) -> float | None:
    spec = find_gpu(point.gpu)
    if spec is None or spec.training_tflops is None:
        return None
    return point.sustained_flop_per_s / (spec.training_tflops * 1e12)


def _capability(point: Measured) -> str | None:
    spec = find_gpu(point.gpu)
    return None if spec is None else spec.compute_capability


def _widened(values: list[float]) -> Range:
    """Return the range of some values; of fewer than three, as wide as those of the best measured GPU are."""
    middle = statistics.median(values)
    if len(values) >= ENOUGH_POINTS:
        return Range(min(values), middle, max(values))
    best = [point.sustained_flop_per_s for point in MEASURED if point.gpu == SPREAD_OF]
    usual = statistics.median(best)
    return Range(min(values) * min(best) / usual, middle, max(values) * max(best) / usual)


def _between_points(points: tuple[tuple[float, float], ...], parameters: float) -> float:
    """Return a value between two points on a straight line; below the first its own, above the last in proportion."""
    first, last = points[0], points[-1]
    if parameters <= first[0]:
        return first[1]
    for (left, low), (right, high) in pairwise(points):
        if parameters <= right:
            return low + (high - low) * (parameters - left) / (right - left)
    return last[1] * parameters / last[0]


def _sources(points: Iterable[Measured]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{point.source} ({point.as_of})" for point in points))
