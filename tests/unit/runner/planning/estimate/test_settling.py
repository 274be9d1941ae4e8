"""The estimate beside what a run took."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.planning.estimate.settling import settle
from tests.unit.runner.planning.estimate.test_ledger import estimate_of, write_run


def test_a_run_with_an_estimate_shows_both(tmp_path: Path) -> None:
    settled = settle(write_run(tmp_path / "r1", estimate=estimate_of()))

    assert settled is not None
    boot = settled.phases[0]
    assert (boot.phase, boot.estimated_s, boot.actual_s) == ("boot", 240.0, 200.0)
    assert (settled.total.phase, settled.total.actual_usd) == ("total", 0.5)
    assert settled.extras_usd == 0.0


def test_disk_egress_and_billing_unit_are_on_top(tmp_path: Path) -> None:
    estimate = estimate_of()
    extras = {"disk": 0.02, "egress": 0.005, "rounding": 0.01, "interruptions": 0.3}
    estimate["cost"]["extras_usd"] = {name: {"expected": usd} for name, usd in extras.items()}

    settled = settle(write_run(tmp_path / "r1", estimate=estimate))

    assert settled is not None
    assert settled.extras_usd == pytest.approx(0.035)


def test_a_phase_of_no_time_is_not_worth_a_word(tmp_path: Path) -> None:
    steps = {name: {"duration_s": 0.4} for name in ("provision", "configure", "stage", "collect", "destroy")}
    state = {"outcome": "done", "steps": {**steps, "train": {"duration_s": 985.0}}}
    estimate = estimate_of()
    estimate["durations"]["seconds_by_phase"]["upload"] = {"expected": 0.9}

    settled = settle(write_run(tmp_path / "r1", estimate=estimate, changed={"state.json": state}))

    assert settled is not None
    assert [one.phase for one in settled.notable] == [
        "boot", "environment", "weights", "train", "evaluation", "teardown", "idle",
    ]  # fmt: skip


def test_a_run_without_an_estimate_shows_nothing(tmp_path: Path) -> None:
    assert settle(write_run(tmp_path / "r1")) is None


def test_a_run_that_did_not_end_well_shows_nothing(tmp_path: Path) -> None:
    assert (
        settle(write_run(tmp_path / "r1", estimate=estimate_of(), changed={"state.json": {"outcome": "failed"}}))
        is None
    )
