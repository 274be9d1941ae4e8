"""From events to curves: steps, evaluations, resumes, checkpoints and the time of each phase."""

from __future__ import annotations

from collections.abc import Iterable

from runner.report.run.models import CheckpointPoint, EvalPoint, PhaseTime, StepPoint
from runner.report.sources import Json, number, seconds_between, text, whole


def step_points(events: Iterable[Json]) -> tuple[StepPoint, ...]:
    """Return one point for each optimizer step; of a step that was done again after a resume, the later one."""
    points: dict[int, StepPoint] = {}
    for event in events:
        step = whole(event.get("step"))
        if event.get("event") != "step" or step is None:
            continue
        points[step] = StepPoint(
            step=step,
            epoch=number(event.get("epoch")),
            loss=number(event.get("loss")),
            learning_rate=number(event.get("learning_rate")),
            grad_norm=number(event.get("grad_norm")),
            tokens=whole(event.get("tokens")),
            tokens_per_s=number(event.get("tokens_per_s")),
            memory_gib=number(event.get("memory_gib")),
            time=text(event.get("time")),
        )
    return tuple(points[step] for step in sorted(points))


def eval_points(events: Iterable[Json]) -> tuple[EvalPoint, ...]:
    """Return one point for each model and step, the later one where there are two."""
    points: dict[tuple[str, int], EvalPoint] = {}
    for event in events:
        if event.get("event") != "evaluation":
            continue
        step, model = whole(event.get("step")) or 0, text(event.get("model")) or "adapter_4bit"
        points[model, step] = EvalPoint(step=step, eval_loss=number(event.get("eval_loss")), model=model)
    return tuple(points[key] for key in sorted(points))


def checkpoint_points(events: Iterable[Json]) -> tuple[CheckpointPoint, ...]:
    """Return the saved checkpoints, each step once."""
    points: dict[int, CheckpointPoint] = {}
    for event in events:
        step = whole(event.get("step"))
        if event.get("event") == "checkpoint_saved" and step is not None:
            points[step] = CheckpointPoint(step, whole(event.get("size_bytes")), number(event.get("duration_s")))
    return tuple(points[step] for step in sorted(points))


def resume_steps(events: Iterable[Json]) -> tuple[int, ...]:
    """Return the steps from which the trainer went on after it was interrupted."""
    steps = (whole(event.get("resumed_from_step")) for event in events if event.get("event") == "run_started")
    return tuple(step for step in steps if step)


def memory_measures(events: Iterable[Json]) -> tuple[str, ...]:
    """Return what the trainer used less of when its memory was short, and after which step, in words."""
    return tuple(
        f"after step {whole(event.get('step')) or 0} {measure}"
        for event in events
        if event.get("event") == "out_of_memory" and (measure := text(event.get("measure"))) is not None
    )


def skipped_steps(events: Iterable[Json]) -> int | None:
    """Return how many steps were skipped because their gradient was not finite; ``None`` where none can be."""
    counts = [whole(event.get("skipped_steps")) for event in events if event.get("event") == "step"]
    return next((count for count in reversed(counts) if count is not None), None)


def phase_times(events: Iterable[Json]) -> tuple[PhaseTime, ...]:
    """Return the time of each phase in the order of their first start.

    A phase without an end (the trainer was stopped in it) lasts until the trainer's last event.
    """
    spent: dict[str, float] = {}
    complete: dict[str, bool] = {}
    for session in sessions(events):
        open_phases: dict[str, Json] = {}
        for event in session:
            phase = text(event.get("phase"))
            if phase is None:
                continue
            if event.get("event") == "phase_started":
                open_phases[phase] = event
                spent.setdefault(phase, 0.0)
                complete[phase] = False
            elif event.get("event") == "phase_ended":
                start = open_phases.pop(phase, {})
                duration = number(event.get("duration_s"))
                if duration is None:
                    duration = seconds_between(start.get("time"), event.get("time")) or 0.0
                spent[phase] = spent.get(phase, 0.0) + duration
                complete[phase] = True
        for phase, start in open_phases.items():
            spent[phase] += seconds_between(start.get("time"), session[-1].get("time")) or 0.0
    return tuple(PhaseTime(phase, duration, complete[phase]) for phase, duration in spent.items())


def sessions(events: Iterable[Json]) -> list[list[Json]]:
    """Split the events at each start of the trainer, which begins with its data phase."""
    found: list[list[Json]] = []
    for event in events:
        starts = event.get("event") == "phase_started" and event.get("phase") == "data"
        if starts or not found:
            found.append([])
        found[-1].append(event)
    return found
