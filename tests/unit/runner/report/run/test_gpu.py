"""What the report says of the GPU that trained, and of useful time."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.report.run import collect
from runner.report.run.collect import read_run
from runner.report.run.document import to_document
from runner.report.run.page import to_html
from runner.report.run.table import lines
from tests.unit.runner.report.run.run_folder import STEPS, step_values
from tests.unit.runner.run_at import run_at

IDLE = {"utilisation_percent": 0, "memory_gib": 0.4, "temperature_c": 30, "power_w": 60.0, "ecc_errors": 0}


def write_log(run_dir: Path, *gpus: dict[str, Any], xids: list[int] | None) -> None:
    """Write a look every five seconds, each at an idle GPU and at one of ``gpus``."""
    looks = [
        {"time": f"2026-11-29T12:00:{5 * count:02}.000+00:00", "gpus": [IDLE, gpu], "xids": xids}
        for count, gpu in enumerate(gpus)
    ]
    (run_dir / "gpu.jsonl").write_text("".join(json.dumps(look) + "\n" for look in looks))


def gpu(busy: float | None, temperature_c: float | None = 60, ecc_errors: int | None = 0) -> dict[str, Any]:
    return {**IDLE, "utilisation_percent": busy, "memory_gib": 9.0, "temperature_c": temperature_c,
            "ecc_errors": ecc_errors}  # fmt: skip


def test_the_gpu_with_the_work_is_shown(run_dir: Path) -> None:
    write_log(run_dir, gpu(80), gpu(100, 71.4, ecc_errors=1), gpu(None, None), xids=[79])

    report = read_run(run_at(run_dir))

    words = "GPU busy 90 % of the time, at most 71 °C, memory errors: 1, Xids: 79"
    assert f"  useful     {words}" in lines(report)
    assert f'<p class="remark">{words}.</p>' in to_html(report)
    told = to_document(report)["gpu"]
    assert told["points"]["minutes"] == [0.0, 0.083, 0.167]
    assert told["points"]["utilisation_percent"] == [80.0, 100.0, None]


def test_its_course_is_drawn_as_far_as_it_told(run_dir: Path) -> None:
    write_log(run_dir, {**gpu(80), "power_w": None}, gpu(90) | {"power_w": None}, xids=None)

    page = to_html(read_run(run_at(run_dir)))

    assert [name for name in ("busy", "memory", "temperature", "power") if f'id="plot-gpu-{name}"' in page] == [
        "busy",
        "memory",
        "temperature",
    ]


def test_xids_that_cannot_be_seen_are_no_good_news(run_dir: Path) -> None:
    write_log(run_dir, gpu(80), xids=None)
    assert "Xids: not visible" in "\n".join(lines(read_run(run_at(run_dir))))

    write_log(run_dir, gpu(80), xids=[])
    assert "Xids: none" in "\n".join(lines(read_run(run_at(run_dir))))


def test_a_run_without_gpus_says_nothing_of_them(run_dir: Path) -> None:
    report = read_run(run_at(run_dir))

    assert report.gpu is None
    assert "useful" not in "\n".join(lines(report))
    assert "<h2>GPU</h2>" not in to_html(report)


@pytest.mark.parametrize(
    ("gone_at", "billed_s", "share"), [("then", 240.0, 0.5), (None, 240.0, None), ("then", 0, None)]
)
def test_useful_time_is_a_share_of_billed_time(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, gone_at: str | None, billed_s: float, share: float | None
) -> None:
    """A step that was done again after the resume counts once; before the machine is gone nothing is known."""
    machines = (SimpleNamespace(gone_at=gone_at),)
    spend = SimpleNamespace(machines=machines, billed_s=billed_s, total_usd=0.0)
    monkeypatch.setattr(collect, "_spend", lambda run: spend)
    steps = [step_values(step) for step in range(1, STEPS + 1)]
    useful_s = sum(values["tokens"] / values["tokens_per_s"] for values in steps)

    found = read_run(run_at(run_dir)).summary.useful_share

    assert found == (None if share is None else pytest.approx(useful_s / billed_s))
