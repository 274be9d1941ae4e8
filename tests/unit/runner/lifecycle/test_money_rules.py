"""Rules that decide what a machine may cost: each figure here is one that somebody pays for."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.adapters.keys import make_key
from runner.adapters.stop import Stop
from runner.adapters.terraform import VARIABLES_FILE
from runner.cli.terminal import SilentView
from runner.cloud_api.models import Status
from runner.context import Context
from runner.errors import CloudError, CloudUnavailableError, ConnectionLostError, RunnerError, TransferError
from runner.lifecycle import finish as finishing
from runner.lifecycle.lost_machine import machine_gone
from runner.lifecycle.steps import collect
from runner.lifecycle.steps.provision import _check_price
from runner.lifecycle.terraform_inputs import hard_end, seconds_to_hard_end, variables
from runner.run.journal import Journal
from runner.run.models import Host
from runner.run.planned import PlannedMachine
from runner.run.run_dir import create_run, write_json
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import FakeCloud, thing
from tests.unit.runner.made_plan import made_plan

HOUR_S = 3600.0
HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 1.0, None, "lambda")


class PatientStop(Stop):
    """Whoever waits is noted instead of held up."""

    def __init__(self) -> None:
        super().__init__(RealWorld())
        self.waited_s: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waited_s.append(seconds)


def made(tmp_path: Path, env: str = "lambda", **budget: Any) -> Context:
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 21, 1, 55, tzinfo=UTC), RealWorld())
    values = {"data": {"train_path": "x"}, "compute": {"env": env}, "budget": budget}
    write_json(run.config, values)
    return Context(run, RunFile.model_validate(values), SilentView(), PatientStop(), RealWorld())


def planned(ctx: Context, max_price_usd_per_h: float) -> Context:
    """Let a run have a plan whose machine is the host, and may cost so much."""
    machine = PlannedMachine(HOST.instance_type, HOST.region, False, 2.0, max_price_usd_per_h)
    ctx.keep_plan(made_plan(environment=ctx.environment.name, machines=(machine,)))
    return ctx


# ---- the hard end


def test_a_machine_is_over_one_hour_after_the_longest_training(tmp_path: Path) -> None:
    ctx = made(tmp_path, max_hours=2.0)

    left = hard_end(ctx) - datetime.now(UTC)

    assert left.total_seconds() == pytest.approx(3 * HOUR_S, abs=30)


def test_a_machine_on_aws_powers_itself_off_after_just_that_time(tmp_path: Path) -> None:
    ctx = made(tmp_path, "aws", max_hours=2.5)
    make_key(ctx.run.login_key)
    make_key(ctx.run.host_key)
    machines = planned(ctx, 2.0).plan.machines

    command, *_ = yaml.safe_load(variables(ctx, machines)["aws_user_data"])["runcmd"]

    assert command == [
        *("systemd-run", "--unit=douse-hard-end", f"--on-active={math.ceil(3.5 * HOUR_S)}", "systemctl", "poweroff"),
    ]


@pytest.mark.parametrize(
    ("expires_in_h", "max_usd", "left_h"),
    [(10.0, 3.0, 3.0), (1.0, 3.0, 1.0), (10.0, None, 10.0)],
    ids=["money-first", "time-first", "time-alone"],
)
def test_a_run_ends_with_the_time_or_with_the_money_whichever_is_first(
    tmp_path: Path, expires_in_h: float, max_usd: float | None, left_h: float
) -> None:
    ctx = made(tmp_path, max_hours=9.0, max_usd=max_usd)
    ends = datetime.now(UTC) + timedelta(hours=expires_in_h)
    ctx.run.terraform.mkdir()
    write_json(ctx.run.terraform / VARIABLES_FILE, {"expires_at": ends.isoformat()})
    write_json(ctx.run.host, HOST.to_mapping())
    Journal(ctx.run).intent("provision")

    assert seconds_to_hard_end(ctx) == pytest.approx(left_h * HOUR_S, abs=30)


def test_what_is_spent_already_is_no_longer_there_to_spend(tmp_path: Path) -> None:
    ctx = made(tmp_path, max_hours=9.0, max_usd=3.0)
    asked = datetime.now(UTC) - timedelta(hours=2)
    ctx.run.terraform.mkdir()
    write_json(ctx.run.terraform / VARIABLES_FILE, {"expires_at": (asked + timedelta(hours=10)).isoformat()})
    write_json(ctx.run.host, HOST.to_mapping())
    line = f'{{"time": "{asked.isoformat()}", "kind": "intent", "action": "provision"}}\n'
    ctx.run.file("journal.jsonl").path.write_text(line)

    assert seconds_to_hard_end(ctx) == pytest.approx(HOUR_S, abs=30)


# ---- what a machine may cost


@pytest.mark.parametrize("price_usd_per_h", [0.5, 2.0, 2.009])
def test_a_machine_may_bill_what_rounding_adds_to_the_most_to_pay(tmp_path: Path, price_usd_per_h: float) -> None:
    _check_price(planned(made(tmp_path), 2.0), replace(HOST, price_usd_per_h=price_usd_per_h))


@pytest.mark.parametrize("price_usd_per_h", [2.011, 2.9])
def test_a_machine_that_bills_half_a_percent_more_than_the_most_to_pay_is_refused(
    tmp_path: Path, price_usd_per_h: float
) -> None:
    ctx = planned(made(tmp_path), 2.0)

    with pytest.raises(CloudError, match="more than the limit of"):
        _check_price(ctx, replace(HOST, price_usd_per_h=price_usd_per_h))


# ---- what the money was paid for


@pytest.mark.parametrize("kind", [TransferError, ConnectionLostError])
def test_what_a_rented_machine_holds_is_asked_for_four_times_before_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[RunnerError]
) -> None:
    ctx, tries = made(tmp_path), []

    def bring(ctx: Context, host: Host, *, with_checkpoints: bool) -> list[str]:
        tries.append(with_checkpoints)
        if len(tries) < 4:
            raise kind("it did not come home", resolution="-")
        return ["adapter"]

    monkeypatch.setattr(collect, "collect", bring)

    assert finishing._collect(ctx, HOST, with_checkpoints=True) == ["adapter"]
    assert tries == [True] * 4
    assert isinstance(ctx.stop, PatientStop)
    assert ctx.stop.waited_s == [2.0, 10.0, 30.0]


def test_a_machine_that_stays_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx, tries = made(tmp_path, "local"), []

    def fail(ctx: Context, host: Host, *, with_checkpoints: bool) -> list[str]:
        tries.append(with_checkpoints)
        raise TransferError("damaged", resolution="-")

    monkeypatch.setattr(collect, "collect", fail)

    with pytest.raises(TransferError):
        finishing._collect(ctx, HOST, with_checkpoints=False)
    assert tries == [False]


# ---- whether there is still something that bills or trains


@pytest.mark.parametrize(
    ("status", "is_gone"),
    [("pending", False), ("running", False), ("unknown", False), ("stopped", True), ("ending", True), (None, True)],
)
def test_a_machine_is_gone_when_it_is_stopped_or_ending_or_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Status | None, is_gone: bool
) -> None:
    ctx = made(tmp_path)
    write_json(ctx.run.host, HOST.to_mapping())
    others = [thing(resource_id="i-2"), thing("key", "i-1")]
    cloud = FakeCloud(others if status is None else [*others, thing(resource_id="i-1", status=status)])
    monkeypatch.setattr("runner.lifecycle.lost_machine.open_cloud", lambda name, environ: cloud)

    assert (machine_gone(ctx) is not None) is is_gone


def test_a_machine_of_a_cloud_that_does_not_answer_may_still_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = made(tmp_path)
    write_json(ctx.run.host, HOST.to_mapping())
    cloud = FakeCloud(listing_troubles=[CloudUnavailableError("lambda: no answer", resolution="ask again")])
    monkeypatch.setattr("runner.lifecycle.lost_machine.open_cloud", lambda name, environ: cloud)

    assert machine_gone(ctx) is None


@pytest.mark.parametrize(("status", "is_gone"), [(None, False), ("running", False), ("ending", True)])
def test_behind_a_neighbour_that_cannot_be_read_a_machine_may_still_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: Status | None, is_gone: bool
) -> None:
    ctx = made(tmp_path)
    write_json(ctx.run.host, HOST.to_mapping())
    there = [] if status is None else [thing(resource_id="i-1", status=status)]
    cloud = FakeCloud(there, unread=[CloudUnavailableError("lambda: an odd entry", resolution="look there")])
    monkeypatch.setattr("runner.lifecycle.lost_machine.open_cloud", lambda name, environ: cloud)

    assert (machine_gone(ctx) is not None) is is_gone
