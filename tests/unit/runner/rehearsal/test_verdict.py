"""The judge of a rehearsal: the meters, the leftovers, the secrets, the faults that never happened."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.emulation.cloud_state import REHEARSAL_KEY
from runner.rehearsal.emulators import Emulators
from runner.rehearsal.faults import parse_faults
from runner.rehearsal.verdict import Verdict, judge
from runner.run.run_dir import RunDir, create_run, write_json
from runner.world import RealWorld

ENDED = {
    "id": "i-1", "instance_type": "gpu_1x_a10", "region": "us-west-1", "price_usd_per_h": 0.75, "billed_usd": 0.01,
    "is_billing": False, "ended_by": "request",
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = create_run(tmp_path / "runs", "tiny", datetime(2026, 11, 21, tzinfo=UTC), RealWorld())
    write_json(made.config, {})
    write_json(made.receipt, {"checked_at": "2026-11-21T02:00:00+00:00"})
    return made


def judged(
    tmp_path: Path,
    *,
    machines: list[dict[str, Any]] | None = None,
    leftovers: list[dict[str, Any]] | None = None,
    fired: list[str] | None = None,
    never: list[str] | None = None,
    exit_code: int = 0,
    runner_faults: str = "",
    runner_fired: list[str] | None = None,
    needs_receipt: bool = True,
) -> Verdict:
    emulators = Emulators("lambda", tmp_path)
    answers = {
        "/machines": {"machines": [ENDED] if machines is None else machines},
        "/leftovers": {"leftovers": leftovers or []},
        "/faults": {"fired": [{"name": name} for name in fired or []], "never_fired": never or []},
    }
    emulators.ask = answers.__getitem__  # type: ignore[method-assign]
    _, of_the_runner, at_home = parse_faults(runner_faults)
    faults = [*of_the_runner, *at_home]
    return judge(emulators, tmp_path, exit_code, runner_fired or [], faults, needs_receipt=needs_receipt)


def test_a_clean_run_holds_every_promise(tmp_path: Path, run: RunDir) -> None:
    verdict = judged(tmp_path)

    assert verdict.broken == []
    assert verdict.lines() == [
        "simulated bill:",
        "  i-1  gpu_1x_a10 in us-west-1: $0.75/h, $0.0100 billed, terminated: request",
        "receipt of 2026-11-21T02:00:00+00:00",
        "rehearsal: every promise held",
    ]


def test_a_machine_that_bills_breaks_the_promise(tmp_path: Path, run: RunDir) -> None:
    verdict = judged(tmp_path, machines=[ENDED | {"is_billing": True}], exit_code=1)

    assert verdict.broken == ["i-1 still bills with exit status 1"]
    assert "STILL BILLING" in "\n".join(verdict.lines())


def test_a_machine_that_bills_is_no_lie_when_the_runner_says_so(tmp_path: Path, run: RunDir) -> None:
    run.receipt.unlink()

    assert judged(tmp_path, machines=[ENDED | {"is_billing": True}], exit_code=3).broken == []


def test_a_key_that_is_left_breaks_the_promise(tmp_path: Path, run: RunDir) -> None:
    verdict = judged(tmp_path, leftovers=[{"kind": "key", "id": "k-1"}])

    assert verdict.broken == ["key k-1 is still there with exit status 0"]


def test_a_receipt_without_an_end_breaks_the_promise(tmp_path: Path, run: RunDir) -> None:
    run.receipt.unlink()

    assert judged(tmp_path).broken == ["there is no receipt, with exit status 0"]


def test_a_run_that_its_machines_lease_ended_has_no_receipt_yet(tmp_path: Path, run: RunDir) -> None:
    run.receipt.unlink()

    assert judged(tmp_path, exit_code=-9, needs_receipt=False).broken == []


def test_a_machine_that_outlives_its_lease_breaks_the_promise(tmp_path: Path, run: RunDir) -> None:
    run.receipt.unlink()
    verdict = judged(tmp_path, machines=[ENDED | {"is_billing": True}], exit_code=-9, needs_receipt=False)

    assert verdict.broken == ["i-1 still bills with exit status -9"]


def test_a_run_that_was_never_planned_needs_no_receipt(tmp_path: Path) -> None:
    assert judged(tmp_path, machines=[], exit_code=1).broken == []


def test_the_accounts_key_in_a_file_of_the_run_breaks_the_promise(tmp_path: Path, run: RunDir) -> None:
    run.log("provision").write_text(f"Authorization: Bearer {REHEARSAL_KEY}\n")

    assert judged(tmp_path).broken == [f"{run.run_id}/logs/provision.log holds the account's key"]


def test_a_fault_that_never_happened_breaks_the_rehearsal(tmp_path: Path, run: RunDir) -> None:
    verdict = judged(
        tmp_path,
        fired=["no_capacity"],
        never=["terminate_500"],
        runner_faults="ctrl_c@train,ctrl_c@stage",
        runner_fired=["ctrl_c@train"],
    )

    assert verdict.broken == ["terminate_500 never happened", "ctrl_c@stage never happened"]
    assert verdict.faults_fired == ["no_capacity", "ctrl_c@train"]


@pytest.mark.parametrize(("billed_usd", "is_broken"), [(0.01, False), (0.03, True)])
def test_a_meter_outside_the_receipts_range_breaks_the_promise(
    billed_usd: float, is_broken: bool, tmp_path: Path, run: RunDir
) -> None:
    line = {"machine_id": "i-1", "cloud": "lambda", "cost_range_usd": [0.009, 0.011]}
    write_json(
        run.receipt,
        {"run_id": run.run_id, "checked_at": "now", "machines": [line], "cost_range_usd": [0.009, 0.011]},
    )
    row = ENDED | {"cloud": "lambda", "name": f"douse-{run.run_id}", "billed_usd": billed_usd}

    assert bool(judged(tmp_path, machines=[row]).broken) is is_broken
