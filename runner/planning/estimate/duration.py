"""How long a run takes, phase by phase: a range, from dated tables, corrected by the user's own earlier runs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runner.cloud_api.environment import NotThere
from runner.clouds.registry import CLOUDS
from runner.planning.estimate.gpu_specs import GpuSpec
from runner.planning.estimate.ranges import NOTHING, Range, between, exactly, total
from runner.planning.estimate.speed import BENCHMARKS, FLOP_PER_PASS, Speed, cpu_speed, gpu_speed

PHASES = ("boot", "environment", "weights", "train", "evaluation", "upload", "teardown")
"""What a machine is paid for, in this order."""
HERE = ("local", "existing")
"""Environments that rent nothing."""
ENOUGH_RUNS = 3

TEARDOWN_S = Range(20.0, 33.0, 151.0)
"""Terraform ending an ``aws_instance``: 20, 32, 33, 35 and 151 s in five public logs (GitHub, read 2026-11-21)."""
LOCAL_TEARDOWN_S = exactly(1.1)
"""docs/benchmarks.md, 2026-11-21."""
CONFIGURE_S = between(28.1, 36.9)
"""Packages on the disk already, to none but all within reach: docs/benchmarks.md, 2026-11-21."""
TRAINER_START_S = exactly(6.4)
"""docs/benchmarks.md, 2026-11-21."""
HUB_BYTES_PER_S = between(40e6, 60e9 / 45)
"""To a rented machine: 40 MB/s is what one connection gets (korshunov.ai/en/article/7463); 45 s for OPT-30B's 60 GB on
a g4dn.metal (github.com/huggingface/huggingface_hub/pull/2989). Read 2026-11-21."""
LINE_DOWN_BYTES_PER_S = Range(25e6 / 8, 100e6 / 8, 1e9 / 8)
LINE_UP_BYTES_PER_S = Range(3e6 / 8, 20e6 / 8, 500e6 / 8)
"""To and from home: what the FCC calls broadband since 2015 and since 2024, and its goal (report of 2024-03-14)."""
DISK_BYTES_PER_S = between(125 * 2**20, 1000 * 2**20)
"""Reading weights: least and most of an EBS gp3 volume (AWS API reference, read 2026-11-21)."""
EVALUATION_LOADS = 2
"""Acceptance loads the base twice: in four bits, and whole."""
SINGLE_STREAM = ((1.3e9, 22.75, 42.56), (3e9, 27.15, 49.01), (7e9, 17.3, 30.97), (13e9, 14.43, 24.82))
"""Weights, and tokens that one answer grows by in a second in NF4 and in 16 bits, on an A100: litgpt's resource tables,
2023-10-20. Larger models are estimated in proportion."""
PADDED_POSITIONS = 2.05
"""Positions that are computed for a token in padded batches of eight; with one row there are none too many:
docs/benchmarks.md, 2026-11-21."""
CPU_ANSWER_COST = 3.1
"""A token of an answer takes as long as so many trained ones on a CPU: docs/benchmarks.md, ``evaluate_base`` of the
quickstart of 2026-11-21, 6.62 s."""


@dataclass(frozen=True)
class Work:
    """What a run has to do.

    Attributes:
        train_tokens: Tokens trained on: after packing, times epochs, or until ``max_steps``.
        eval_tokens: Tokens of all evaluations together.
        generated_tokens: Tokens of all answers together.
        model_bytes: Files of the base model.
        package_bytes: Packages that the machine has to download; 0 where it has them.
        data_bytes: The samples.
        adapter_bytes: What comes home.
        parameters: Weights of the base that a token passes.
        trainable_parameters: Weights of the adapter.
        checkpointing: Whether activations are computed again.
        is_packed: Whether rows are filled up with several samples.
        micro_batch_tokens: Tokens in one micro-batch, without padding.
        generation_batch: Answers that grow at the same time.
        staged_bytes: Of the base model's files, what is sent from this machine.
    """

    train_tokens: int
    eval_tokens: int
    generated_tokens: int
    model_bytes: int
    package_bytes: int
    data_bytes: int
    adapter_bytes: int
    parameters: int
    trainable_parameters: int
    checkpointing: bool
    is_packed: bool
    micro_batch_tokens: int = 2048
    generation_batch: int = 1
    staged_bytes: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no work.

        Raises:
            ValueError: If an amount is below zero, what divides is below one, or more is sent than there is.
        """
        if min(self.parameters, self.micro_batch_tokens, self.generation_batch) < 1:
            raise ValueError("parameters, micro_batch_tokens and generation_batch are at least 1")
        amounts = (self.train_tokens, self.eval_tokens, self.generated_tokens, self.model_bytes, self.package_bytes)
        if min(*amounts, self.data_bytes, self.adapter_bytes, self.trainable_parameters, self.staged_bytes) < 0:
            raise ValueError("no amount is below 0")
        if self.staged_bytes > self.model_bytes:
            raise ValueError(f"{self.staged_bytes} bytes are sent of a model of {self.model_bytes}")


@dataclass(frozen=True)
class Hardware:
    """Where it is done.

    Attributes:
        environment: Name of the environment.
        gpu: The GPU that trains, one of those there are; ``None`` for a machine without.
        gpu_count: GPUs in the machine; the trainer uses one.
        cpu_cores: Processor cores, for a machine without a GPU.
    """

    environment: str
    gpu: GpuSpec | None = None
    gpu_count: int = 1
    cpu_cores: int = 2


@dataclass(frozen=True)
class Correction:
    """What the user's own runs say, the nearest kin of the planned one; empty where there are none.

    Attributes:
        tokens_per_s: Speeds of the same model on the same GPU or machine.
        speed_ratios: Measured speed over the table's, of other models.
        seconds: Durations by phase, of phases that took the same work.
        ratios: Measured duration over the table's, by phase.
        train_factors: Time of the phase ``train`` over that of its tokens: evaluations and checkpoints in between.
        basis: Whose runs, for people.
    """

    tokens_per_s: tuple[float, ...] = ()
    speed_ratios: tuple[float, ...] = ()
    seconds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    ratios: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    train_factors: tuple[float, ...] = ()
    basis: str = ""


@dataclass(frozen=True)
class Durations:
    """How long a run takes.

    Attributes:
        seconds: Seconds by phase, in the order of ``PHASES``.
        tokens_per_s: Trained tokens a second.
        table_seconds: The same by the tables alone: what later runs are compared with.
        table_tokens_per_s: The same of the speed.
        basis: What it rests on, a line each.
        sources: Where the speed is from.
    """

    seconds: dict[str, Range]
    tokens_per_s: Range
    table_seconds: dict[str, Range]
    table_tokens_per_s: Range
    basis: tuple[str, ...]
    sources: tuple[str, ...] = ()

    @property
    def total_s(self) -> Range:
        """Seconds in all."""
        return total(self.seconds.values())

    def to_mapping(self) -> dict[str, Any]:
        """Return plain data, as the plan keeps it under ``durations`` of a forecast."""
        return {
            "seconds_by_phase": {phase: value.to_mapping() for phase, value in self.seconds.items()},
            "total_s": self.total_s.to_mapping(),
            "tokens_per_s": self.tokens_per_s.to_mapping(),
            "table_seconds_by_phase": {phase: value.to_mapping() for phase, value in self.table_seconds.items()},
            "table_tokens_per_s": self.table_tokens_per_s.to_mapping(),
            "basis": list(self.basis),
            "sources": list(self.sources),
        }


def estimate_durations(work: Work, machine: Hardware, correction: Correction | None = None) -> Durations | None:
    """Return how long a run takes, or ``None`` for a GPU of which no speed is known.

    Args:
        work: What there is to do.
        machine: Where.
        correction: What earlier runs say.
    """
    own = correction or Correction()
    speed = speed_of(work, machine)
    if speed is None:
        return None
    table = {
        "boot": _boot_s(machine),
        "environment": _environment_s(work, machine),
        "weights": _weights_s(work, machine),
        "train": speed.tokens_per_s.into(work.train_tokens),
        "evaluation": _evaluation_s(work, machine, speed),
        "upload": _upload_s(work, machine),
        "teardown": LOCAL_TEARDOWN_S if machine.environment in HERE else TEARDOWN_S,
    }
    tokens_per_s = _corrected(speed.tokens_per_s, own.tokens_per_s, own.speed_ratios)
    seconds = {
        phase: _corrected(table[phase], own.seconds.get(phase, ()), own.ratios.get(phase, ())) for phase in PHASES
    }
    factor = statistics.median(own.train_factors) if own.train_factors else 1.0
    seconds["train"] = tokens_per_s.into(work.train_tokens).times(factor)
    basis = (f"speed: {speed.basis}", *([f"corrected by {own.basis}"] if own.basis else []))
    return Durations(seconds, tokens_per_s, table, speed.tokens_per_s, basis, speed.sources)


def speed_of(work: Work, machine: Hardware) -> Speed | None:
    """Return how fast a machine trains by the tables, or ``None`` where nothing is known of its GPU."""
    weights = (work.parameters, work.trainable_parameters)
    if machine.gpu is None:
        speed: Speed | None = cpu_speed(machine.cpu_cores, *weights, is_checkpointed=work.checkpointing)
    else:
        speed = gpu_speed(
            machine.gpu, *weights, is_checkpointed=work.checkpointing, micro_batch_tokens=work.micro_batch_tokens
        )
    if speed is None or work.is_packed:
        return speed
    packed = speed.tokens_per_s
    padded = Range(packed.low / PADDED_POSITIONS, packed.expected, packed.high)
    return replace(speed, tokens_per_s=padded, basis=f"{speed.basis}; rows are padded, see {BENCHMARKS}")


def _boot_s(machine: Hardware) -> Range:
    """Return the seconds from the cloud's yes to a login; of a platform that is not ours yet, all that ours take."""
    if machine.environment in HERE:
        return NOTHING
    record = CLOUDS.get(machine.environment)
    if record is None:
        known = [one.boot for one in CLOUDS.values()]
        return between(min(boot.low_s for boot in known), max(boot.high_s for boot in known))
    many = record.boot_many_gpus
    boot = record.boot if machine.gpu_count <= 1 or isinstance(many, NotThere) else many
    if boot.expected_s is None:
        return between(boot.low_s, boot.high_s)
    return Range(boot.low_s, boot.expected_s, boot.high_s)


def _environment_s(work: Work, machine: Hardware) -> Range:
    download = LINE_DOWN_BYTES_PER_S if machine.environment == "local" else HUB_BYTES_PER_S
    return CONFIGURE_S + TRAINER_START_S + download.into(work.package_bytes)


def _weights_s(work: Work, machine: Hardware) -> Range:
    """Return the seconds until the weights are in memory: sent or downloaded, then read."""
    here = machine.environment == "local"
    sent = NOTHING if here else LINE_UP_BYTES_PER_S.into(work.staged_bytes + work.data_bytes)
    download = LINE_DOWN_BYTES_PER_S if here else HUB_BYTES_PER_S
    fetched = download.into(work.model_bytes - work.staged_bytes)
    return sent + fetched + DISK_BYTES_PER_S.into(work.model_bytes)


def _evaluation_s(work: Work, machine: Hardware, speed: Speed) -> Range:
    read = speed.flop_per_s.into(work.eval_tokens * FLOP_PER_PASS * work.parameters)
    if machine.gpu is None:
        written = speed.tokens_per_s.into(work.generated_tokens * CPU_ANSWER_COST)
    else:
        written = answer_tokens_per_s(work.parameters).into(work.generated_tokens / work.generation_batch)
    return read + written + DISK_BYTES_PER_S.into(EVALUATION_LOADS * work.model_bytes)


def answer_tokens_per_s(parameters: float) -> Range:
    """Return the tokens that one answer grows by in a second on a GPU."""
    nearest = min(SINGLE_STREAM, key=lambda point: abs(point[0] - parameters))
    share = min(1.0, nearest[0] / parameters)
    return between(nearest[1] * share, nearest[2] * share)


def _upload_s(work: Work, machine: Hardware) -> Range:
    return NOTHING if machine.environment == "local" else LINE_DOWN_BYTES_PER_S.into(work.adapter_bytes)


def _corrected(table: Range, seen: tuple[float, ...], ratios: tuple[float, ...]) -> Range:
    """Return a table's range corrected by the user's runs: their own from three runs on, before that its width."""
    values = seen or tuple(table.expected * ratio for ratio in ratios)
    if not values:
        return table
    middle = statistics.median(values)
    if len(values) >= ENOUGH_RUNS or table.expected == 0:
        return Range(min(values), middle, max(values))
    return table.times(middle / table.expected)
