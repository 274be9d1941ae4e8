"""``report.json``: the report for scripts.

Shape, ``format`` 1 (a key is always there; what is not known is ``null`` or empty; paths start at the run folder)::

    format        1
    run           run_id, name, env, created_at, verdict (accepted | interrupted | failed | unfinished), message,
                  resolution, base_model
    summary       base_eval_loss, adapter_eval_loss, improvement_percent, compared_on, steps, max_steps, best_step,
                  epochs, tokens, tokens_per_s, peak_memory_gib, loss_first, loss_last, train_duration_s, useful_share
                  (of the billed seconds, inside training steps), duration_s, cost_usd, device
    curves        steps: one list for each of step, epoch, loss, learning_rate, grad_norm, tokens, tokens_per_s,
                  memory_gib, all of one length; evaluations: [{step, eval_loss, model}]; resumed_from: [step];
                  memory_measures: [what was used less of when memory was short]; skipped_steps (float16 only);
                  checkpoints: [{step, size_bytes, duration_s}]
    phases        [{phase, duration_s, complete}]
    gpu           points: one list for each of minutes, utilisation_percent, memory_gib, temperature_c, power_w, all of
                  one length; utilisation_percent (mean), temperature_c (highest), ecc_errors, xids (null: not visible);
                  or null
    data          facts, histogram: [{from_tokens, to_tokens, count}] (up to, not including), warnings, notes,
                  shown: [{line, parts: [{text, learned}]}]; or null
    answers       [{prompt, reference, base_answer, adapter_answer}]
    scores        {model: {score: value}}
    acceptance    [{name, passed, value, requirement, required}]
    environment   {name: value}
    life_cycle    [{name, status, started_at, ended_at, duration_s}]
    estimate      phases: [{phase, estimated_s, actual_s, estimated_usd, actual_usd, error, error_usd}] (errors: a share
                  of what it took, above 0 where the estimate was too high), total: the same of all phases, extras_usd
                  (estimated on top: disk, egress, billing unit); or null
    receipt       as in receipt.json
    artifacts     adapter, checksums, merged: path or null
    missing       [what could not be read]

A key that is added keeps the format; one that changes its meaning or goes away raises it.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from runner.report.run.collect import read_run
from runner.report.run.models import GpuPoint, GpuUse, RunReport, StepPoint
from runner.run.run_dir import RunDir, write_json

FORMAT = 1
JSON_NAME = "report.json"


def write_document(run: RunDir) -> RunReport:
    """Write ``report.json`` into the run folder and return the report; it needs nothing that draws."""
    report = read_run(run)
    write_json(run.file(JSON_NAME), to_document(report))
    return report


def to_document(report: RunReport) -> dict[str, Any]:
    """Return the report as JSON data in the shape above."""
    return {
        "format": FORMAT,
        "run": {
            "run_id": report.run_id,
            "name": report.name,
            "env": report.env,
            "created_at": report.created_at,
            "verdict": report.verdict,
            "message": report.message,
            "resolution": report.resolution,
            "base_model": report.base_model,
        },
        "summary": asdict(report.summary),
        "curves": {
            "steps": {
                field.name: [getattr(point, field.name) for point in report.steps]
                for field in fields(StepPoint)
                if field.name != "time"
            },
            "evaluations": [asdict(point) for point in report.evaluations],
            "resumed_from": list(report.resumed_from),
            "memory_measures": list(report.memory_measures),
            "skipped_steps": report.skipped_steps,
            "checkpoints": [asdict(point) for point in report.checkpoints],
        },
        "phases": [asdict(phase) for phase in report.phases],
        "gpu": None if report.gpu is None else {**asdict(report.gpu), "points": _columns(report.gpu)},
        "data": None if report.data is None else asdict(report.data),
        "answers": [asdict(pair) for pair in report.answers],
        "scores": {scores.model: scores.values for scores in report.scores},
        "acceptance": [asdict(check) for check in report.acceptance],
        "environment": report.environment,
        "life_cycle": [asdict(step) for step in report.life_cycle],
        "estimate": None if report.estimate is None else report.estimate.to_mapping(),
        "receipt": report.receipt,
        "artifacts": {
            "adapter": _inside(report.artifacts.adapter, report.run_dir),
            "checksums": _inside(report.artifacts.checksums, report.run_dir),
            "merged": _inside(report.artifacts.merged, report.run_dir),
        },
        "missing": list(report.missing),
    }


def _columns(gpu: GpuUse) -> dict[str, list[float | None]]:
    return {field.name: [getattr(point, field.name) for point in gpu.points] for field in fields(GpuPoint)}


def _inside(path: Path | None, run_dir: Path) -> str | None:
    return None if path is None else path.relative_to(run_dir).as_posix()
