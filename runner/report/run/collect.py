"""A run folder becomes a ``RunReport``. Pure: reads files, changes nothing, needs no network and no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.errors import RunnerError
from runner.planning.estimate.settling import settle
from runner.report.data_summary import DataSummary, data_summary
from runner.report.run.curves import (
    checkpoint_points,
    eval_points,
    memory_measures,
    phase_times,
    resume_steps,
    sessions,
    skipped_steps,
    step_points,
)
from runner.report.run.gpu import gpu_use
from runner.report.run.models import AcceptanceRow, AnswerPair, Artifacts, LifeStep, RunReport, Scores, Verdict
from runner.report.run.summary import summarise
from runner.report.sources import Json, Sources, items, mapping, number, seconds_between, text
from runner.report.wording import value_text
from runner.run.run_dir import RunDir
from runner.run.spend import Spend, spend_of

ADAPTER_PLACES = ("adapter", "box/output/adapter", "output/adapter")
LIFE_CYCLE = ("plan", "provision", "configure", "stage", "train", "collect", "destroy", "report")
FAILED = {"failed", "error"}


def read_run(run: RunDir) -> RunReport:
    """Return the known facts of the run in ``run_dir``; unreadable files are listed in ``missing``."""
    run_dir, sources = run.path, Sources(run)
    config, state = sources.read("config.json"), sources.read("state.json")
    host, receipt = sources.read("host.json"), sources.read("receipt.json")
    plan, facts = sources.plan(), sources.read("host_facts.json")
    events = sources.events()
    metrics = sources.read(*_places("metrics.json"), "box/output/metrics.json", "metrics.json")
    acceptance = sources.read(*_places("acceptance.json"))
    manifest = sources.read(*_places("manifest.json"))
    life_cycle, checks = _life_cycle(state), _checks(acceptance, events)
    verdict, message, resolution = _verdict(events, acceptance, life_cycle, state)
    env = text(mapping(config.get("compute")).get("env")) or text(plan.get("environment")) or "unknown"
    evaluations, steps = eval_points(events), step_points(events)
    return RunReport(
        run_dir=run_dir,
        run_id=text(state.get("run_id")) or run_dir.name,
        name=text(mapping(config.get("run")).get("name")) or text(manifest.get("run_name")) or _name(run_dir),
        env=env,
        created_at=(life_cycle[0].started_at if life_cycle else None) or text(_first(events).get("time")),
        verdict=verdict,
        message=message,
        resolution=resolution,
        base_model=_base_model(config, manifest, events),
        summary=summarise(metrics, steps, evaluations, events, life_cycle, manifest, receipt, host, _spend(run)),
        steps=steps,
        evaluations=evaluations,
        resumed_from=resume_steps(events),
        memory_measures=memory_measures(events),
        skipped_steps=skipped_steps(events),
        checkpoints=checkpoint_points(events),
        phases=phase_times(events),
        gpu=gpu_use(sources.gpu_log()),
        data=_data(events, plan),
        answers=_answers(metrics, events),
        scores=_scores(metrics),
        acceptance=checks,
        environment=_environment(manifest, facts, events),
        recipe=config,
        life_cycle=life_cycle,
        estimate=settle(run),
        receipt=receipt,
        artifacts=_artifacts(run_dir),
        missing=tuple(sources.missing),
    )


def _spend(run: RunDir) -> Spend | None:
    """Return what the journal knows of the run's machines; nothing where a file beside it is damaged."""
    try:
        return spend_of(run)
    except RunnerError:
        return None


def _places(name: str) -> tuple[str, ...]:
    return tuple(f"{place}/{name}" for place in ADAPTER_PLACES)


def _name(run_dir: Path) -> str:
    """Return the name in a run id ``YYYYMMDD-HHMMSS-<name>``."""
    parts = run_dir.name.split("-", 2)
    return parts[2] if len(parts) == 3 and parts[0].isdigit() else run_dir.name


def _first(events: list[Json]) -> Json:
    return events[0] if events else {}


def _last(events: list[Json], name: str) -> Json:
    return next((event for event in reversed(events) if event.get("event") == name), {})


def _base_model(config: Json, manifest: Json, events: list[Json]) -> str | None:
    """Return the base model as the run file names it, rather than as the path it had on the box."""
    return (
        text(mapping(config.get("model")).get("base_model"))
        or text(manifest.get("base_model"))
        or text(_last(events, "run_started").get("base_model"))
    )


def _verdict(
    events: list[Json], acceptance: Json, life_cycle: tuple[LifeStep, ...], state: Json
) -> tuple[Verdict, str | None, str | None]:
    """Return the verdict, and the message and resolution that came with it.

    A step of the life cycle that failed outweighs the trainer's own word, unless the trainer was merely interrupted
    and the machine is gone: an adapter that could not be brought home is no success, nor is a machine left behind.
    """
    ended = _ending(events)
    message, resolution = text(ended.get("message")), text(ended.get("resolution"))
    status = text(ended.get("status"))
    broken = next((step for step in life_cycle if step.status in FAILED), None)
    if status == "interrupted" and (broken is None or broken.name != "destroy"):
        return "interrupted", message, resolution
    if broken is not None or state.get("outcome") == "failed":
        words = text(state.get("message")) or (None if broken is None else f"{broken.name} did not succeed")
        return "failed", (message if status == "failed" else None) or words, resolution
    if status == "failed" or acceptance.get("accepted") is False:
        return "failed", message, resolution
    if status == "accepted" or (acceptance.get("accepted") is True and not events):
        return "accepted", message, resolution
    if state.get("outcome") == "interrupted" or any(step.status == "interrupted" for step in life_cycle):
        return "interrupted", message, resolution
    return "unfinished", message, resolution


def _ending(events: list[Json]) -> Json:
    """Return how the newest start of the trainer ended: ``run_ended``, else ``interrupted``, else nothing."""
    for event in reversed(sessions(events)[-1] if events else []):
        if event.get("event") == "run_ended":
            return event
        if event.get("event") == "interrupted":
            return {**event, "status": "interrupted"}
    return {}


def _life_cycle(state: Json) -> tuple[LifeStep, ...]:
    steps = state.get("steps")
    named = [(text(step.get("name")) or "?", step) for step in items(steps)] if isinstance(steps, list) else []
    named += [(name, mapping(step)) for name, step in mapping(steps).items()]
    order = {name: index for index, name in enumerate(LIFE_CYCLE)}
    named.sort(key=lambda pair: order.get(pair[0], len(order)))
    return tuple(_life_step(name, step) for name, step in named)


def _life_step(name: str, step: Json) -> LifeStep:
    duration = number(step.get("duration_s"))
    return LifeStep(
        name=name,
        status=text(step.get("status")) or "unknown",
        started_at=text(step.get("started_at")),
        ended_at=text(step.get("ended_at")),
        duration_s=seconds_between(step.get("started_at"), step.get("ended_at")) if duration is None else duration,
    )


def _checks(acceptance: Json, events: list[Json]) -> tuple[AcceptanceRow, ...]:
    """Return the checks of ``acceptance.json``, else those reported before the trainer stopped, the last of each."""
    found = items(acceptance.get("checks"))
    if not found:
        reported = {text(event.get("name")): event for event in events if event.get("event") == "acceptance_check"}
        found = list(reported.values())
    return tuple(
        AcceptanceRow(
            name=text(check.get("name")) or "?",
            passed=check.get("passed") is True,
            value=value_text(check.get("value")),
            requirement=value_text(check.get("requirement")),
            required=check.get("required") is not False,
        )
        for check in found
    )


def _data(events: list[Json], plan: Json) -> DataSummary | None:
    """Return the data check of the trainer, else that of the plan."""
    return data_summary(_last(events, "data_summary")) or data_summary(mapping(plan.get("data")))


def _answers(metrics: Json, events: list[Json]) -> tuple[AnswerPair, ...]:
    found = items(metrics.get("samples"))
    if not found:
        reported = {_prompt(event): event for event in events if event.get("event") == "sample"}
        found = list(reported.values())
    return tuple(
        AnswerPair(
            prompt=_prompt(sample),
            reference=text(sample.get("reference")) or "",
            base_answer=text(sample.get("base_answer")) or "",
            adapter_answer=text(sample.get("adapter_answer")) or "",
        )
        for sample in found
    )


def _prompt(sample: Json) -> str:
    """Return the prompt as text; a list of messages is written one under the other."""
    prompt = sample.get("prompt")
    if isinstance(prompt, list):
        return "\n".join(f"{message.get('role')}: {message.get('content')}" for message in items(prompt))
    return text(prompt) or ""


def _scores(metrics: Json) -> tuple[Scores, ...]:
    return tuple(
        Scores(model, values)
        for model, result in mapping(metrics.get("eval")).items()
        if (values := {key: found for key, value in mapping(result).items() if (found := number(value)) is not None})
    )


def _environment(manifest: Json, facts: Json, events: list[Json]) -> dict[str, str]:
    """Return versions and hardware: from the adapter's manifest, the prepared host's facts, and the trainer's start."""
    started = _last(events, "run_started")
    found: dict[str, str] = {}
    known: list[Mapping[str, Any]] = [
        mapping(manifest.get("environment")),
        mapping(started.get("versions")),
        {key: started.get(key) for key in ("device", "device_name", "dtype", "trainable_parameters")},
        facts,
    ]
    for part in known:
        nested = [(key, value) for inner in part.values() for key, value in mapping(inner).items()]
        for key, value in [*part.items(), *nested]:
            if not isinstance(value, dict) and value not in (None, "", []):
                found.setdefault(key, value_text(value))
    return found


def _artifacts(run_dir: Path) -> Artifacts:
    adapter = run_dir / "adapter"
    checksums, merged = adapter / "SHA256SUMS", run_dir / "merged"
    return Artifacts(
        adapter=adapter if adapter.is_dir() else None,
        checksums=checksums if checksums.is_file() else None,
        merged=merged if merged.is_dir() else None,
    )
