"""``plan.html``: what a run is going to be, from its ``plan.json`` alone; what is missing there is left out here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.report.data_summary import DataSummary, data_summary
from runner.report.plan.bound import end_words, keeper_words
from runner.report.plan.machines import MachineRow, machine_rows
from runner.report.sources import Json, Sources, items, mapping, text, whole
from runner.report.spans import Span, amount, span, spans
from runner.report.wording import count, size
from runner.run.planned import lenient_machines
from runner.run.run_dir import RunDir


@dataclass(frozen=True)
class PhaseRow:
    """What a phase takes and costs; what is paid besides the phases takes no time of its own."""

    name: str
    seconds: Span | None = None
    usd: Span | None = None


@dataclass(frozen=True)
class CheckLine:
    """A line of the preflight: ``pass``, ``warn``, ``fail``, ``skip``, or a status that this page does not know."""

    name: str
    status: str
    value: str
    remedy: str


@dataclass(frozen=True)
class PlannedRun:
    """A run as it is planned.

    Attributes:
        run_id: Name of the run folder.
        environment: Where it is to run.
        base_model: Base model as the run file names it.
        facts: What is planned, in words.
        checks: What the preflight saw.
        memory_gib: What the run needs of a GPU, in GiB by part.
        gpu: GPU of the first machine.
        gpu_memory_gib: Memory that this GPU is sold with.
        needed_gib: Memory that a GPU has to be sold with for this run.
        phases: Time and dollars by phase, then what is paid besides.
        total: The same in all.
        basis: What the estimate rests on.
        sources: Where its speeds are from.
        machines: Machines to try, in this order.
        data: The data check in numbers.
        missing: What could not be read.
    """

    run_id: str
    environment: str | None
    base_model: str | None
    facts: dict[str, str]
    checks: tuple[CheckLine, ...]
    memory_gib: dict[str, float]
    gpu: str | None
    gpu_memory_gib: float | None
    needed_gib: float | None
    phases: tuple[PhaseRow, ...]
    total: PhaseRow
    basis: tuple[str, ...]
    sources: tuple[str, ...]
    machines: tuple[MachineRow, ...]
    data: DataSummary | None
    missing: tuple[str, ...]

    def found(self, status: str) -> int:
        """Return how many lines of the preflight have this status."""
        return sum(line.status == status for line in self.checks)


def read_planned_run(run: RunDir) -> PlannedRun:
    """Return the contents of ``plan.json``; unexpected values are left out."""
    sources = Sources(run)
    plan = sources.plan()
    first = next(iter(lenient_machines(plan)), {})
    estimate = mapping(first.get("forecast"))
    durations, cost = mapping(estimate.get("durations")), mapping(estimate.get("cost"))
    machines = machine_rows(plan)
    gpu, gpu_memory_gib = text(estimate.get("gpu")), amount(estimate.get("gpu_memory_gib")) or None
    return PlannedRun(
        run_id=run.run_id,
        environment=text(plan.get("environment")),
        base_model=text(plan.get("base_model")),
        facts=_facts(plan, first, machines, gpu, gpu_memory_gib),
        checks=_checks(plan),
        memory_gib=_parts(first),
        gpu=gpu,
        gpu_memory_gib=gpu_memory_gib,
        needed_gib=amount(estimate.get("needed_gib")) or None,
        phases=_phases(durations, cost),
        total=PhaseRow("total", span(durations.get("total_s")), span(cost.get("total_usd"))),
        basis=_lines(durations.get("basis")),
        sources=_lines(durations.get("sources")),
        machines=machines,
        data=data_summary(mapping(plan.get("data"))),
        missing=tuple(sources.missing),
    )


def _lines(value: Any) -> tuple[str, ...]:
    return tuple(line for one in value if (line := text(one))) if isinstance(value, list) else ()


def _phases(durations: Json, cost: Json) -> tuple[PhaseRow, ...]:
    """Return the phases in the plan's order, then what is paid besides where it may be more than nothing."""
    seconds, usd = spans(durations.get("seconds_by_phase")), spans(cost.get("usd_by_phase"))
    phases = [PhaseRow(name, seconds.get(name), usd.get(name)) for name in dict.fromkeys([*seconds, *usd])]
    extras = spans(cost.get("extras_usd")).items()
    return (*phases, *(PhaseRow(name, usd=usd) for name, usd in extras if usd.high > 0))


def _parts(first: Json) -> dict[str, float]:
    parts = mapping(first.get("needed_gib_by_part"))
    return {name: gib for name, value in parts.items() if (gib := amount(value))}


def _checks(plan: Json) -> tuple[CheckLine, ...]:
    return tuple(
        CheckLine(
            name=text(line.get("name")) or "?",
            status=text(line.get("status")) or "unknown",
            value=text(line.get("value")) or "",
            remedy=text(line.get("remedy")) or "",
        )
        for line in items(plan.get("checks"))
    )


def _facts(
    plan: Json, first: Json, machines: tuple[MachineRow, ...], gpu: str | None, gpu_memory_gib: float | None
) -> dict[str, str]:
    """Return the known facts of the plan, in words."""
    disk_gib = amount(plan.get("disk_needed_gib"))
    sold = "" if gpu_memory_gib is None else f", {gpu_memory_gib:g} GiB"
    facts: Mapping[str, str | None] = {
        "base model": _model(plan),
        "data": _samples(plan),
        "micro-batch": _micro_batch(first),
        "environment": text(plan.get("environment")),
        "first machine": machines[0].sentence if machines else None,
        "at most": _most(plan),
        "its GPU": None if gpu is None else f"{gpu}{sold}",
        "disk needed": None if disk_gib is None else f"{disk_gib:.1f} GiB",
    }
    return {name: value for name, value in facts.items() if value is not None}


def _most(plan: Json) -> str | None:
    """Return the most that the run may cost until its machine's end, and who keeps that end."""
    most_usd, machines = amount(plan.get("most_usd")), lenient_machines(plan)
    place = next((at for at, one in enumerate(machines) if amount(one.get("most_usd")) == most_usd), None)
    if most_usd is None or place is None:
        return None
    hours, price = amount(machines[place].get("hard_end_h")), amount(machines[place].get("max_price_usd_per_h"))
    if hours is None or price is None:
        return None
    name = text(machines[place].get("instance_type")) if place else None
    keeper = keeper_words(text(plan.get("environment")) or "", price)
    return "; ".join(filter(None, (end_words(most_usd, hours, name or ""), keeper)))


def _model(plan: Json) -> str | None:
    name, size_bytes = text(plan.get("base_model")), amount(plan.get("model_bytes"))
    return f"{name}, {size(size_bytes)}" if name and size_bytes else name


def _samples(plan: Json) -> str | None:
    train, held_out = _count(plan.get("train_samples")), _count(plan.get("eval_samples"))
    tokens = amount(mapping(plan.get("data")).get("train_tokens"))
    if train is None or held_out is None:
        return None
    trained = "" if tokens is None else f" of {count(tokens)} tokens in all"
    return f"{train:,} training samples{trained}, {held_out:,} for evaluation"


def _micro_batch(first: Json) -> str | None:
    batch = mapping(first.get("micro_batch"))
    rows, row_tokens = _count(batch.get("rows")), _count(batch.get("row_tokens"))
    return f"{rows:,} × {row_tokens:,} tokens" if rows and row_tokens else None


def _count(value: Any) -> int | None:
    """Return a whole number that is not below zero, else ``None``."""
    found = whole(value)
    return None if found is None or found < 0 else found
