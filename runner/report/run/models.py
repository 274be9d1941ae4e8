"""What a report is made of: plain frozen data, every part of which may be missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runner.planning.estimate.settling import Settled
from runner.report.data_summary import DataSummary

Verdict = Literal["accepted", "interrupted", "failed", "unfinished"]


@dataclass(frozen=True)
class StepPoint:
    """One optimizer step. A number that was not finite, or not logged, is ``None``."""

    step: int
    epoch: float | None
    loss: float | None
    learning_rate: float | None
    grad_norm: float | None
    tokens: int | None
    tokens_per_s: float | None
    memory_gib: float | None
    time: str | None


@dataclass(frozen=True)
class EvalPoint:
    """Eval loss of one model at one step."""

    step: int
    eval_loss: float | None
    model: str


@dataclass(frozen=True)
class CheckpointPoint:
    """A checkpoint that was saved."""

    step: int
    size_bytes: int | None
    duration_s: float | None


@dataclass(frozen=True)
class PhaseTime:
    """Time spent in one phase of the trainer, over all its starts."""

    phase: str
    duration_s: float
    complete: bool


@dataclass(frozen=True)
class GpuPoint:
    """The GPU that trained at one moment, in minutes since it was first looked at."""

    minutes: float
    utilisation_percent: float | None
    memory_gib: float | None
    temperature_c: float | None
    power_w: float | None


@dataclass(frozen=True)
class GpuUse:
    """How the GPU that trained was used, by the supervisor's log.

    Attributes:
        points: Its course.
        utilisation_percent: Share of the time in which it computed anything, by NVML; the mean of all looks.
        temperature_c: The highest.
        ecc_errors: Memory errors that could not be corrected, the most that were counted since a machine's boot.
        xids: Faults that the driver reported, by their numbers; ``None`` where they could not be seen.
    """

    points: tuple[GpuPoint, ...]
    utilisation_percent: float | None
    temperature_c: float | None
    ecc_errors: int | None
    xids: tuple[int, ...] | None


@dataclass(frozen=True)
class LifeStep:
    """One step of the life cycle, as ``state.json`` has it."""

    name: str
    status: str
    started_at: str | None
    ended_at: str | None
    duration_s: float | None


@dataclass(frozen=True)
class AnswerPair:
    """The same eval prompt answered by the base and by the adapter."""

    prompt: str
    reference: str
    base_answer: str
    adapter_answer: str


@dataclass(frozen=True)
class AcceptanceRow:
    """One line of the acceptance table."""

    name: str
    passed: bool
    value: str
    requirement: str
    required: bool = True
    """Whether the adapter is refused without it."""


@dataclass(frozen=True)
class Scores:
    """What one model scored on the eval split."""

    model: str
    values: dict[str, float]


@dataclass(frozen=True)
class Summary:
    """The numbers that fit on a card."""

    base_eval_loss: float | None
    adapter_eval_loss: float | None
    improvement_percent: float | None
    compared_on: str | None
    steps: int | None
    max_steps: int | None
    best_step: int | None
    epochs: float | None
    tokens: int | None
    tokens_per_s: float | None
    peak_memory_gib: float | None
    loss_first: float | None
    loss_last: float | None
    train_duration_s: float | None
    useful_share: float | None
    """Share of the billed seconds that were inside training steps; a step that was done twice counts once."""
    duration_s: float | None
    cost_usd: float | None
    device: str | None


@dataclass(frozen=True)
class Artifacts:
    """Where to find what the run brought home; ``None`` for what is not there."""

    adapter: Path | None
    checksums: Path | None
    merged: Path | None


@dataclass(frozen=True)
class RunReport:
    """Everything that is known of one run."""

    run_dir: Path
    run_id: str
    name: str
    env: str
    created_at: str | None
    verdict: Verdict
    message: str | None
    resolution: str | None
    base_model: str | None
    summary: Summary
    steps: tuple[StepPoint, ...]
    evaluations: tuple[EvalPoint, ...]
    resumed_from: tuple[int, ...]
    memory_measures: tuple[str, ...]
    """What the trainer used less of when memory was short."""
    skipped_steps: int | None
    """Steps of a run in float16 whose gradient was not finite."""
    checkpoints: tuple[CheckpointPoint, ...]
    phases: tuple[PhaseTime, ...]
    gpu: GpuUse | None
    data: DataSummary | None
    answers: tuple[AnswerPair, ...]
    scores: tuple[Scores, ...]
    acceptance: tuple[AcceptanceRow, ...]
    environment: dict[str, str]
    recipe: dict[str, Any]
    life_cycle: tuple[LifeStep, ...]
    estimate: Settled | None
    """What was estimated beside what it took, of a run that was estimated and ended well."""
    receipt: dict[str, Any]
    artifacts: Artifacts
    missing: tuple[str, ...]
    """Files that are not there or cannot be read, each with the reason."""

    @property
    def fit_model(self) -> str | None:
        """Name in ``evaluations`` of the model that was evaluated while it trained."""
        names = [point.model for point in self.evaluations]
        return next((name for name in ("training", "adapter_4bit", "adapter_unquantised") if name in names), None)

    @property
    def eval_curve(self) -> tuple[EvalPoint, ...]:
        """The adapter's eval loss over the steps, as it was while it trained."""
        return tuple(point for point in self.evaluations if point.model == self.fit_model)
