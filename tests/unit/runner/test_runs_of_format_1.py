"""Runs that commit c59ff1e has left, with a ``plan.json`` of format 1: every verb goes on working on them.

``tests/data/runs-of-format-1/`` has the small files of three that it really made: one that ended well on this machine,
one that ended well on an emulated Lambda, and one on an emulated RunPod whose runner was killed while it trained.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.terraform import Terraform
from runner.cli import account_verbs
from runner.cli import parser as cli
from runner.clouds.registry import Accounts
from runner.context import Context
from runner.errors import ConnectionLostError
from runner.lifecycle import by_mark, finish, terraform_inputs
from runner.lifecycle.steps import destroy
from runner.report.plan.planned_run import read_planned_run
from runner.run.planned import MicroBatch, forecast_for, read_plan
from runner.run.run_dir import PROJECT, RunDir
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import FakeCloud, thing
from tests.unit.runner.run_at import run_at

KEPT = PROJECT / "tests" / "data" / "runs-of-format-1"
LOCAL, LAMBDA, RUNPOD = (f"20261128-{time}-tiny" for time in ("153027", "153905", "160000"))
NOW = datetime(2026, 11, 28, 23, 0, tzinfo=UTC)
AT_7_USD_CENTS = {"boot": 0.0333, "environment": 0.0056, "teardown": 0.0046}


class Later(RealWorld):
    """The evening of that day, in which pauses pass at once."""

    slept_s = 0.0

    def now(self) -> datetime:
        return NOW

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.slept_s

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds


class Gone:
    """A machine that does not answer."""

    def close(self) -> None:
        """Nothing is open."""

    def __getattr__(self, name: str) -> Any:
        raise ConnectionLostError("ssh: no answer", resolution="-")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return Path(shutil.copytree(KEPT, tmp_path / "runs"))


def ask(runs: Path, *words: str) -> int:
    return cli.main([*words, "--runs-dir", str(runs)], Later({}))


def machine_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "host.json").read_text())
    return found


def old_plan(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "plan.json").read_text())
    return found


@pytest.mark.parametrize("run_id", [LOCAL, LAMBDA, RUNPOD])
def test_their_plans_drive_a_run_as_they_did(run_id: str) -> None:
    old, plan = old_plan(KEPT / run_id), read_plan(RunDir(KEPT / run_id, RealWorld()))

    assert "format" not in old
    assert [one.to_variable() for one in plan.machines] == old["candidates"]
    assert [one.price_usd_per_h for one in plan.machines] == old["prices_usd_per_h"]
    assert [plan.train_samples, plan.eval_samples] == old["samples"]
    assert [None if one.micro_batch is None else one.micro_batch.rows for one in plan.machines] == (
        [one["micro_batch_rows"] for one in old["forecasts"]] or [None]
    )


def test_the_machine_that_was_rented_has_the_rows_that_were_planned_for_it() -> None:
    run = RunDir(KEPT / LAMBDA, RealWorld())
    plan = read_plan(run)

    (machine,) = [one for one in plan.machines if (one.instance_type, one.region) == ("gpu_1x_rtx6000", "us-south-2")]
    assert machine.micro_batch == MicroBatch(1)
    assert forecast_for({"format": 2, "machines": []}, machine_of(run.path)) == {}
    assert machine.forecast is not None
    assert machine.forecast.durations == old_plan(run.path)["estimate"]["durations"]


@pytest.mark.parametrize("run_id", [LOCAL, LAMBDA, RUNPOD])
def test_the_page_of_their_plan_shows_every_machine(run_id: str) -> None:
    old, page = old_plan(KEPT / run_id), read_planned_run(run_at(KEPT / run_id))

    assert page.missing == ()
    assert page.facts["data"].startswith("60 training samples")
    assert [one.price_usd_per_h for one in page.machines] == old["prices_usd_per_h"]
    assert len([one for one in page.machines if one.seconds]) == len(old["forecasts"])


@pytest.mark.parametrize("run_id", [LOCAL, LAMBDA])
def test_down_leaves_a_run_alone_that_is_down(run_id: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (runs / run_id / "receipt.json").read_bytes()

    assert ask(runs, "down", "--run", run_id) == 0

    assert f"run {run_id} is down already" in capsys.readouterr().out
    assert (runs / run_id / "receipt.json").read_bytes() == before


def test_down_looks_again_at_a_run_that_has_a_receipt(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = FakeCloud([thing(resource_id="i-late", run_id=LAMBDA)])
    monkeypatch.setattr(by_mark, "open_cloud", lambda name, world: cloud)

    assert (ask(runs, "down", "--run", LAMBDA), cloud.there) == (0, [])


def test_down_ends_a_machine_whose_runner_is_gone(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Terraform as its plan names it, and by the cloud's own listing after that."""
    run, programs = runs / RUNPOD, []
    machine = machine_of(run)["instance_id"]
    cloud = FakeCloud([thing(resource_id=machine, run_id=RUNPOD, cloud="runpod")], name="runpod")
    for module in (by_mark, destroy):
        monkeypatch.setattr(module, "open_cloud", lambda name, environ: cloud)
    monkeypatch.setattr(destroy, "accounts", lambda world: Accounts([cloud], {}, {}))
    monkeypatch.setattr(Context, "machine", lambda self, host: Gone())
    monkeypatch.setattr(finish, "COLLECT_RETRY_S", ())
    monkeypatch.setattr(terraform_inputs, "Terraform", lambda program, *rest, **named: _terraform(program, programs))

    status = ask(runs, "down", "--run", RUNPOD)

    assert (status, cloud.there, cloud.asked_to_end) == (0, [], [machine]), capsys.readouterr()
    assert programs == [Path(old_plan(run)["terraform"])]
    receipt = json.loads((run / "receipt.json").read_text())
    assert receipt["checks"]["clouds"] == {"runpod": 0}
    assert receipt["ended_by_the_sweep"] == [f"instance {machine} on runpod"]
    assert receipt["estimated_usd"] == pytest.approx(_expected_usd(run), abs=0.001)


def _terraform(program: Path, programs: list[Path]) -> Any:
    """Return a Terraform that has lost its state."""
    programs.append(program)

    class Forgetful(Terraform):
        def __init__(self) -> None:
            """Run nothing."""

        def destroy(self) -> None:
            """Find nothing to destroy."""

        def resources(self) -> list[str]:
            return []

    return Forgetful()


def _expected_usd(run: Path) -> float:
    """Return what the plan of format 1 expected of the machine that was rented."""
    machine = machine_of(run)
    names = ("instance_type", "region", "spot")
    (forecast,) = [
        one for one in old_plan(run)["forecasts"] if [one[name] for name in names] == [machine[name] for name in names]
    ]
    return float(sum(phase["expected"] for phase in forecast["cost"]["usd_by_phase"].values()))


def test_the_sweep_knows_whose_machine_it_is(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [
        thing(resource_id="of-the-run-that-is-down", run_id=LAMBDA, cloud="runpod"),
        thing(resource_id="of-the-killed-runner", run_id=RUNPOD, cloud="runpod"),
    ]
    monkeypatch.setattr(account_verbs, "accounts", lambda world: Accounts([FakeCloud(there, name="runpod")], {}, {}))

    assert ask(runs, "sweep") == 3

    down, killed, *_ = capsys.readouterr().out.splitlines()
    assert down.startswith("abandoned")
    assert f"run {LAMBDA} is down, and this is left" in down
    assert killed.startswith("abandoned")
    assert f"run {RUNPOD} has no runner, and its lease ran out" in killed


def test_the_ledger_has_the_estimate_of_the_machine_that_was_rented(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(runs, "costs", "--json") == 0

    rows = {row["run_id"]: row for row in json.loads(capsys.readouterr().out)}
    assert sorted(rows) == [LOCAL, LAMBDA]
    assert (rows[LAMBDA]["instance_type"], rows[LAMBDA]["is_emulated"]) == ("gpu_1x_rtx6000", True)
    assert rows[LAMBDA]["estimated_usd"] == pytest.approx(sum(AT_7_USD_CENTS.values()), abs=0.0002)
    assert rows[LAMBDA]["actual_usd"] == 0.0882


@pytest.mark.parametrize("run_id", [LOCAL, LAMBDA, RUNPOD])
def test_a_report_is_written_anew(run_id: str, runs: Path) -> None:
    assert ask(runs, "report", "--run", run_id) == 0

    assert (runs / run_id / "report.html").stat().st_size > 100_000
    assert json.loads((runs / run_id / "report.json").read_text())["run"]["run_id"] == run_id


def test_all_of_them_stand_in_the_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(runs, "runs", "--json") == 0

    assert [row["run"] for row in json.loads(capsys.readouterr().out)] == [LOCAL, LAMBDA, RUNPOD]
