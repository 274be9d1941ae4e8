"""The forecast of a run on one available machine: whether it fits, how long it takes, what it costs."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from runner.cloud_api.models import Offer
from runner.planning.estimate.billing import billing_of
from runner.planning.estimate.cost import Cost, Spot, cost_of
from runner.planning.estimate.duration import Correction, Durations, Hardware, Work, estimate_durations, speed_of
from runner.planning.estimate.finished_run import Row
from runner.planning.estimate.fit import GpuNeed, rows_that_fit
from runner.planning.estimate.gpu_specs import GpuSpec, gpu_of_machine
from runner.planning.estimate.ledger import correction
from runner.planning.estimate.micro_batch import row_choices, with_rows
from runner.planning.estimate.model_shape import ModelShape
from runner.run.planned import Foreseen
from runner.run.run_file import RunFile
from trainer.config.values import steps_of

CUDA_PACKAGE_BYTES = 4_100_000_000
"""What a rented machine downloads: torch 2.8 with NVIDIA's packages and triton are 3.9 GB by pip's own output (public
logs, 2025), the others of our lock 0.2 GB (``pip download`` of trainer-cpu.lock without torch, 2026-11-21)."""
CPU_PACKAGE_BYTES = 410_000_000
"""The CPU lock's: 390 MiB (``pip download``, 2026-11-21)."""
PACKED_FILL = 0.97
"""How full packed rows are: 0.971 of 1,024 tokens (docs/benchmarks.md)."""
EVALUATIONS_AROUND = 4
"""The base and the adapter, each in four bits and whole."""
ANSWERING_MODELS = 4

AS_FAST = 0.99
"""Speeds within a hundredth of each other are the same: tables know no better."""


@dataclass(frozen=True)
class Task:
    """A run, apart from any machine.

    Attributes:
        run_file: The run.
        shape: Its base model.
        data: The data check's summary.
        work: What there is to do.
    """

    run_file: RunFile
    shape: ModelShape
    data: Mapping[str, Any]
    work: Work

    def at(self, rows: int) -> Task:
        """Return the run with so many rows at a time, and as many in an optimizer step as before."""
        run_file = with_rows(self.run_file, rows)
        work = replace(self.work, **_micro_batch(run_file, self.data))
        return replace(self, run_file=run_file, work=work)


@dataclass(frozen=True)
class Forecast:
    """A run on a machine.

    Attributes:
        environment: Where.
        offer: The machine.
        gpu: Its GPU, or ``None`` for one that is not in the table.
        needed_gib: Memory that the GPU has to be sold with, in GiB.
        rows: Rows that fit at a time.
        micro_batch_rows: Rows that are computed at a time.
        work: What there is to do with so many rows at a time.
        durations: How long it takes, or ``None`` where no speed of the GPU is known.
        cost: What it costs, or ``None`` with the durations.
    """

    environment: str
    offer: Offer
    gpu: GpuSpec | None
    needed_gib: float
    rows: int
    durations: Durations | None
    cost: Cost | None
    micro_batch_rows: int
    work: Work

    @property
    def fits(self) -> bool:
        """Whether the run fits the GPU as it is."""
        return self.needed_gib <= self.offer.gpu_memory_gib

    @property
    def usd(self) -> float:
        """US dollars that are expected; unknown without a known speed."""
        return math.inf if self.cost is None else self.cost.total_usd.expected

    @property
    def hours(self) -> float:
        """Hours that are expected."""
        return math.inf if self.durations is None else self.durations.total_s.expected / 3600

    def to_planned(self) -> Foreseen:
        """Return the part that the plan keeps."""
        return Foreseen(
            gpu=self.offer.gpu_name,
            gpu_model=None if self.gpu is None else self.gpu.name,
            gpu_memory_gib=self.offer.gpu_memory_gib,
            needed_gib=round(self.needed_gib, 2),
            fits=self.fits,
            rows_that_fit=self.rows,
            work=asdict(self.work),
            durations=None if self.durations is None else self.durations.to_mapping(),
            cost=None if self.cost is None else self.cost.to_mapping(),
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return plain data, as ``make compare`` has it."""
        return {
            "environment": self.environment,
            "instance_type": self.offer.instance_type,
            "region": self.offer.region,
            "spot": self.offer.spot,
            "trust": self.offer.trust,
            "price_usd_per_h": self.offer.price_usd_per_h,
            "gpu": self.offer.gpu_name,
            "gpu_memory_gib": self.offer.gpu_memory_gib,
            "needed_gib": round(self.needed_gib, 2),
            "fits": self.fits,
            "rows_that_fit": self.rows,
            "micro_batch_rows": self.micro_batch_rows,
            "work": asdict(self.work),
            "durations": None if self.durations is None else self.durations.to_mapping(),
            "cost": None if self.cost is None else self.cost.to_mapping(),
        }


def make_task(
    run_file: RunFile,
    shape: ModelShape,
    data: Mapping[str, Any],
    *,
    model_bytes: int,
    staged_bytes: int,
    data_bytes: int,
) -> Task:
    """Return a run apart from any machine.

    Args:
        run_file: The run.
        shape: Its base model.
        data: The data check's summary.
        model_bytes: Files of the base model; 0 where only its configuration is known.
        staged_bytes: Of these, what is sent from here.
        data_bytes: Files of the samples.
    """
    training, lora = (
        run_file.training,
        shape.lora_parameters(run_file.adapter.lora_r, run_file.adapter.lora_target_modules),
    )
    work = Work(
        train_tokens=_train_tokens(run_file, data),
        eval_tokens=_eval_tokens(run_file, data),
        generated_tokens=ANSWERING_MODELS * run_file.evaluation.generation_samples * run_file.evaluation.max_new_tokens,
        model_bytes=model_bytes or 2 * shape.parameters,
        package_bytes=CUDA_PACKAGE_BYTES if run_file.compute.gpu_required else CPU_PACKAGE_BYTES,
        data_bytes=data_bytes,
        adapter_bytes=4 * lora,
        parameters=shape.parameters,
        trainable_parameters=lora,
        checkpointing=training.gradient_checkpointing,
        **_micro_batch(run_file, data),
        generation_batch=min(8, run_file.evaluation.generation_samples),
        staged_bytes=staged_bytes,
    )
    return Task(run_file, shape, data, work)


def _micro_batch(run_file: RunFile, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of the work that depends on the micro-batch."""
    return {
        "is_packed": run_file.data.packing or run_file.training.micro_batch_rows == 1,
        "micro_batch_tokens": max(1, _micro_batch_tokens(run_file, data)),
    }


def _micro_batch_tokens(run_file: RunFile, data: Mapping[str, Any]) -> int:
    """Return the tokens of a micro-batch, without padding."""
    rows = run_file.training.micro_batch_rows
    if run_file.data.packing:
        return round(rows * run_file.data.max_length * PACKED_FILL)
    return round(rows * int(data["train_tokens"]) / max(1, int(data["train_samples"])))


def _train_tokens(run_file: RunFile, data: Mapping[str, Any]) -> int:
    """Return the tokens that are trained on: all epochs of them, or the steps of ``max_steps``, which count alone."""
    training, in_epoch = run_file.training, int(data["train_tokens"])
    if training.max_steps is None:
        return max(1, round(training.num_train_epochs * in_epoch))
    in_step = training.accumulation * _micro_batch_tokens(run_file, data)
    return max(1, training.max_steps * min(in_step, in_epoch))


def _eval_tokens(run_file: RunFile, data: Mapping[str, Any]) -> int:
    """Return the tokens of all evaluations: those around training, and those in between."""
    evaluation, samples = run_file.evaluation, max(1, int(data["eval_samples"]))
    share = min(1.0, (evaluation.max_eval_samples or samples) / samples)
    between = 0
    if evaluation.eval_strategy == "epoch":
        between = math.ceil(run_file.training.num_train_epochs)
    elif evaluation.eval_strategy == "steps" and evaluation.eval_steps:
        step = run_file.training.accumulation * max(1, _micro_batch_tokens(run_file, data))
        steps = max(1, _train_tokens(run_file, data) // step)
        between = max(1, steps // steps_of(evaluation.eval_steps, steps))
    return round((EVALUATIONS_AROUND + between) * share * int(data["eval_tokens"]))


def forecast(task: Task, environment: str, offer: Offer, ledger: Sequence[Row] = ()) -> Forecast:
    """Return the forecast of a run on a machine.

    Args:
        task: The run.
        environment: The platform that the machine is on.
        offer: The machine.
        ledger: Earlier runs.
    """
    if not task.run_file.compute.gpu_required:
        return _without_gpu(task, environment, offer, ledger)
    gpu = gpu_of_machine(offer.instance_type, offer.gpu_name, offer.gpu_memory_gib)
    most = rows_that_fit(task.run_file, task.shape, task.data, offer.gpu_memory_gib)
    machine = Hardware(environment, gpu, offer.gpu_count)
    rows = _fastest_rows(task, machine, most)
    chosen = task.at(rows)
    needed_gib = GpuNeed(chosen.run_file, task.shape, task.data).gpu_gib
    durations = None
    if gpu is not None:
        durations = estimate_durations(chosen.work, machine, _own(task, environment, offer, gpu, ledger))
    cost = None if durations is None else _cost(chosen, environment, offer, durations)
    return Forecast(environment, offer, gpu, needed_gib, most, durations, cost, rows, chosen.work)


def _fastest_rows(task: Task, machine: Hardware, most: int) -> int:
    """Return the fewest rows at a time with which a GPU is as fast as it gets.

    By the tables alone: the choice does not change with the runs that one has had.
    """
    least, *more = row_choices(task.run_file)
    choices = [least, *(rows for rows in more if rows <= most)]
    speeds = {rows: speed_of(task.at(rows).work, machine) for rows in choices}
    tokens_per_s = {rows: 0.0 if speed is None else speed.tokens_per_s.expected for rows, speed in speeds.items()}
    fast = AS_FAST * max(tokens_per_s.values())
    return min(rows for rows, found in tokens_per_s.items() if found >= fast)


def _without_gpu(task: Task, environment: str, offer: Offer, ledger: Sequence[Row]) -> Forecast:
    """Return the forecast of a run without a working GPU: its processors train, as in a rehearsal."""
    own = _own(task, environment, offer, None, ledger)
    durations = estimate_durations(task.work, Hardware(environment, None, cpu_cores=os.cpu_count() or 1), own)
    cost = None if durations is None else _cost(task, environment, offer, durations)
    rows = task.run_file.training.micro_batch_rows
    return Forecast(environment, offer, None, 0.0, rows, durations, cost, rows, task.work)


def _own(task: Task, environment: str, offer: Offer, gpu: GpuSpec | None, ledger: Sequence[Row]) -> Correction:
    """Return the corrections that earlier runs give for this one."""
    return correction(
        ledger,
        environment=environment,
        instance_type=offer.instance_type,
        model=task.run_file.model.base_model,
        gpu=None if gpu is None else gpu.name,
        train_tokens=task.work.train_tokens,
    )


def _cost(task: Task, environment: str, offer: Offer, durations: Durations) -> Cost:
    billing = billing_of(task.run_file, task.work.model_bytes, environment, offer)
    interval_s = durations.tokens_per_s.into(_checkpoint_tokens(task)).expected
    spot = Spot(checkpoint_interval_s=interval_s) if offer.spot else None
    return cost_of(durations, billing, egress_bytes=task.work.adapter_bytes, spot=spot)


def _checkpoint_tokens(task: Task) -> float:
    wanted, training = task.run_file.checkpointing.save_steps, task.run_file.training
    step = training.accumulation * task.work.micro_batch_tokens
    return float(steps_of(wanted, max(1, task.work.train_tokens // step)) * step)
