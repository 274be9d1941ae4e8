"""A finished run's folder as one row: what it took and cost, beside what was estimated.

A run's plan may hold what was estimated for each of its machines: ``work`` (the fields of ``Work``), ``durations``
(``Durations.to_mapping``) and ``cost`` (``Cost.to_mapping``). A row has that of the machine that was rented. Older runs
lack it and count as far as they go.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from runner.planning.estimate.duration import Hardware, Work, speed_of
from runner.planning.estimate.gpu_specs import find_gpu
from runner.run.planned import PLAN_NAME, forecast_for, lenient_plan
from runner.run.run_dir import RunDir
from runner.world import Entry
from trainer.files import object_or_none

TRAINER_PHASES = {
    "data": "weights",
    "load_model": "weights",
    "evaluate_base": "evaluation",
    "acceptance": "evaluation",
    "train": "train",
    "export": "train",
}
STEP_PHASES = {
    "provision": "boot",
    "configure": "environment",
    "stage": "weights",
    "collect": "upload",
    "destroy": "teardown",
}
EVENTS_OF_USE = (b'"event": "phase_ended"', b'"event": "run_started"')
ASKED_FOR_A_MACHINE = (b'"action": "provision"',)
IDLE = "idle"
"""What was paid for and belongs to no phase."""
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One finished run.

    Attributes:
        run_id: Its name.
        environment: Where it ran.
        instance_type: The machine, in the cloud's words.
        gpu: What trained, as in ``gpu_specs.csv``; ``None`` for a CPU and for a GPU that is not in it.
        model: The base model.
        parameters: Its number of weights, where the plan has it.
        tokens_per_s: Trained tokens a second.
        speed_ratio: That over the tables' word for the same work.
        train_factor: Time of the phase ``train`` over that of its tokens at this speed: evaluations and checkpoints in
            between make it more than 1.
        train_tokens: Tokens it was to train on.
        seconds: Seconds by phase; of a resumed run only of the phases that were not repeated.
        is_whole: Whether it went from start to end in one go, so that its seconds are all there were.
        is_emulated: Whether an emulated cloud handed its machine out, as in a rehearsal.
        estimated_seconds: What was estimated.
        table_seconds: What the tables alone had said.
        estimated_usd: US dollars that were estimated of the machine's time, by phase, with interruptions of a spot one.
        estimated_extras_usd: US dollars that were estimated on top, by their cause as in ``Cost.extras_usd``.
        actual_usd: US dollars by phase, with what was idle.
        cost_usd: US dollars in all, over all tries, by the receipt; ``None`` where it does not know.
        disk_usd: What of that is the disk of the last machine, which no phase has; older receipts know of none.
        price_usd_per_h: Price of the machine.
        receipt: The receipt; it has a line for each machine, and the clouds' own bills.
    """

    run_id: str
    environment: str
    instance_type: str
    gpu: str | None
    model: str
    parameters: int | None
    tokens_per_s: float | None
    speed_ratio: float | None
    seconds: dict[str, float]
    train_factor: float | None = None
    train_tokens: float | None = None
    is_whole: bool = True
    is_emulated: bool = False
    estimated_seconds: dict[str, float] = field(default_factory=dict)
    table_seconds: dict[str, float] = field(default_factory=dict)
    estimated_usd: dict[str, float] = field(default_factory=dict)
    estimated_extras_usd: dict[str, float] = field(default_factory=dict)
    actual_usd: dict[str, float] = field(default_factory=dict)
    cost_usd: float | None = None
    disk_usd: float = 0.0
    price_usd_per_h: float = 0.0
    receipt: Json = field(default_factory=dict)


def read_row(run: RunDir) -> Row | None:
    """Return the time and cost of a run, or ``None`` if it failed or is not one of ours."""
    state = _read(run.file("state.json"))
    if state.get("outcome") != "done":
        return None
    config, host = _read(run.config), _read(run.host)
    environment = _object(config, "compute").get("env")
    model = _object(config, "model").get("base_model")
    if not isinstance(environment, str) or not isinstance(model, str):
        return None
    estimate, receipt = _forecast(run, host), _read(run.receipt)
    durations, cost = _object(estimate, "durations"), _object(estimate, "cost")
    events = _lines(run.events, EVENTS_OF_USE)
    started = [event for event in events if event.get("event") == "run_started"]
    gpu, work, is_resumed = _gpu(started), _work(_object(estimate, "work")), _is_resumed(started)
    train = _object(_metrics(run), "train")
    tokens_per_s, train_tokens = _number(train.get("tokens_per_s")), _train_tokens(work, train)
    seconds = _seconds(_object(state, "steps"), events, is_resumed=is_resumed)
    price_usd_per_h, cost_usd = (_number(host.get("price_usd_per_h")) or 0.0, _number(receipt.get("cost_usd")))
    disk_usd = _number(_object(receipt, "cost_by_phase_usd").get("disk")) or 0.0
    return Row(
        run_id=run.run_id,
        environment=environment,
        instance_type=str(host.get("instance_type") or ""),
        gpu=gpu,
        model=model,
        parameters=None if work is None else work.parameters,
        tokens_per_s=tokens_per_s,
        speed_ratio=_ratio(tokens_per_s, _table_speed(work, environment, gpu) or _planned_speed(durations)),
        seconds=seconds,
        train_factor=_train_factor(seconds.get("train"), tokens_per_s, train_tokens),
        train_tokens=train_tokens,
        is_whole=not is_resumed,
        is_emulated=was_emulated(run),
        estimated_seconds=_expected(_object(durations, "seconds_by_phase")),
        table_seconds=_expected(_object(durations, "table_seconds_by_phase")),
        estimated_usd=_expected_usd(cost),
        estimated_extras_usd=_expected(_object(cost, "extras_usd")),
        actual_usd=_dollars(seconds, price_usd_per_h, cost_usd, disk_usd, is_whole=not is_resumed),
        cost_usd=cost_usd,
        disk_usd=disk_usd,
        price_usd_per_h=price_usd_per_h,
        receipt=receipt,
    )


def planned_usd(run: RunDir) -> dict[str, float]:
    """Return the US dollars that a run's plan expects of its machine, as ``Row.estimated_usd`` has them."""
    return _expected_usd(_object(_forecast(run, _read(run.host)), "cost"))


def _forecast(run: RunDir, host: Json) -> Json:
    """Return the plan's forecast for the machine that was rented."""
    return forecast_for(lenient_plan(_read(run.file(PLAN_NAME))), host)


def is_emulated(endpoint: str) -> bool:
    """Return whether a cloud is asked on this machine itself: only an emulated one is there."""
    try:
        name = urlsplit(endpoint).hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _seconds(steps: Json, events: Sequence[Json], *, is_resumed: bool) -> dict[str, float]:
    """Return seconds by phase: the runner's steps, of which the trainer's own phases divide ``train``."""
    seconds: dict[str, float] = {}
    for step, phase in STEP_PHASES.items():
        duration_s = _number(_object(steps, step).get("duration_s"))
        if duration_s is not None:
            seconds[phase] = seconds.get(phase, 0.0) + duration_s
    reported = {str(event.get("phase")): event for event in events if event.get("event") == "phase_ended"}
    inside = {
        name: _number(event.get("duration_s")) or 0.0 for name, event in reported.items() if name in TRAINER_PHASES
    }
    whole_s = _number(_object(steps, "train").get("duration_s"))
    if is_resumed or whole_s is None or "train" not in inside:
        return {phase: value for phase, value in seconds.items() if phase in ("boot", "upload", "teardown")}
    for name, duration_s in inside.items():
        phase = TRAINER_PHASES[name]
        seconds[phase] = seconds.get(phase, 0.0) + duration_s
    start_s = max(0.0, whole_s - sum(inside.values()))  # Python importing torch
    seconds["environment"] = seconds.get("environment", 0.0) + start_s
    return {phase: round(value, 3) for phase, value in seconds.items()}


def _dollars(
    seconds: Json, price_usd_per_h: float, cost_usd: float | None, disk_usd: float, *, is_whole: bool
) -> dict[str, float]:
    """Return US dollars by phase; what is left is idle, unless phases or the whole are missing."""
    if price_usd_per_h <= 0:
        return {}
    by_phase = {phase: round(value / 3600 * price_usd_per_h, 4) for phase, value in seconds.items()}
    if cost_usd is None or not is_whole:
        return by_phase
    return by_phase | {IDLE: round(max(0.0, cost_usd - disk_usd - sum(by_phase.values())), 4)}


def _gpu(started: Sequence[Json]) -> str | None:
    """Return the GPU that trained last, if it is in the table."""
    last = started[-1] if started else {}
    if last.get("device") not in ("cuda", "mps"):
        return None
    spec = find_gpu(str(last.get("device_name") or ""))
    return None if spec is None else spec.name


def _is_resumed(started: Sequence[Json]) -> bool:
    """Return whether the trainer began more than once: then no single start gives the time of the whole."""
    return len(started) > 1 or any(event.get("resumed_from_step") for event in started)


def _work(reported: Json) -> Work | None:
    """Return the work of the run, or ``None`` if it was planned without an estimate."""
    names = {one.name for one in fields(Work)}
    values = {name: value for name, value in reported.items() if name in names}
    if not all(isinstance(value, int) for value in values.values()):
        return None
    try:
        return Work(**values)
    except (TypeError, ValueError):
        return None


def _table_speed(work: Work | None, environment: str, gpu: str | None) -> float | None:
    """Return the tables' speed of the GPU that trained, which need not be the one that was planned."""
    spec = None if gpu is None else find_gpu(gpu)
    if work is None or spec is None:
        return None
    speed = speed_of(work, Hardware(environment, spec))
    return None if speed is None else speed.tokens_per_s.expected


def _planned_speed(durations: Json) -> float | None:
    return _number(_object(durations, "table_tokens_per_s").get("expected"))


def _ratio(actual: float | None, table: float | None) -> float | None:
    return actual / table if actual and table else None


def _train_tokens(work: Work | None, train: Json) -> float | None:
    """Return the tokens as they were planned, so that the next plan's make the same time; else those that were."""
    return _number(train.get("tokens")) if work is None else float(work.train_tokens)


def _train_factor(seconds: float | None, tokens_per_s: float | None, tokens: float | None) -> float | None:
    return seconds * tokens_per_s / tokens if seconds and tokens_per_s and tokens else None


def was_emulated(run: RunDir) -> bool:
    """Return whether an emulated cloud was asked for the machine; a run that does not say so is none of those."""
    asked = _lines(run.file("journal.jsonl"), ASKED_FOR_A_MACHINE)
    return any(is_emulated(str(line["endpoint"])) for line in asked if line.get("endpoint"))


def _metrics(run: RunDir) -> Json:
    return _read(run.file("metrics.json")) or _read(run.file("adapter") / "metrics.json")


def _lines(path: Entry, names: Sequence[bytes]) -> list[Json]:
    """Return the few lines of use of a file of JSON lines; the many others are not even parsed."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return []
    found = (object_or_none(line) for line in lines if any(name in line for name in names))
    return [line for line in found if line]


def _read(path: Entry) -> Json:
    """Return a file's object; one that is missing or damaged is empty."""
    try:
        return object_or_none(path.read_bytes()) or {}
    except OSError:
        return {}


def _object(values: Json, key: str) -> Json:
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _expected_usd(cost: Json) -> dict[str, float]:
    """Return US dollars of the machine's time, by phase: without disk, egress and billing unit."""
    by_phase = _expected(_object(cost, "usd_by_phase"))
    lost_usd = _expected(_object(cost, "extras_usd")).get("interruptions")
    return by_phase | {"interruptions": lost_usd} if by_phase and lost_usd else by_phase


def _expected(by_phase: Json) -> dict[str, float]:
    found = {phase: _number(_object(by_phase, phase).get("expected")) for phase in by_phase}
    return {phase: value for phase, value in found.items() if value is not None}
