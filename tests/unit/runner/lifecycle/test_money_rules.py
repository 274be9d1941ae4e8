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
from runner.lifecycle.terraform_inputs import hard_end, rented_until, seconds_to_hard_end, variables
from runner.run.journal import Journal
from runner.run.models import Host
from runner.run.planned import PlannedMachine
from runner.run.run_dir import create_run, write_json
from runner.run.run_file import RunFile
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import FakeCloud, thing
from tests.unit.runner.made_plan import made_plan

HOUR_S = 3600.0
MACHINE = PlannedMachine("gpu_1x_a10", "us-west-1", False, 1.0, 1.0)
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


@pytest.mark.parametrize(("budget", "hours"), [({"max_hours": 2.0}, 3.0), ({}, 25.0)], ids=["said", "unsaid"])
def test_a_machine_of_an_old_plan_is_over_one_hour_after_the_longest_training(
    tmp_path: Path, budget: dict[str, float], hours: float
) -> None:
    ctx = made(tmp_path, **budget)

    left = hard_end(ctx, MACHINE) - datetime.now(UTC)

    assert MACHINE.hard_end_h is None
    assert left.total_seconds() == pytest.approx(hours * HOUR_S, abs=30)


def test_each_candidate_goes_to_terraform_with_its_own_end_and_the_run_with_the_last(tmp_path: Path) -> None:
    ctx = made(tmp_path)
    make_key(ctx.run.login_key)
    make_key(ctx.run.host_key)
    machines = (replace(MACHINE, hard_end_h=3.0), replace(MACHINE, region="us-east-1", hard_end_h=1.5))
    ctx.keep_plan(made_plan(machines=machines))
    now = datetime.now(UTC)

    found = variables(ctx, machines)

    ends = [datetime.fromisoformat(one["expires_at"]) for one in found["candidates"]]
    left_h = [(end - now).total_seconds() / HOUR_S for end in ends]
    assert left_h == [pytest.approx(3.0, abs=0.01), pytest.approx(1.5, abs=0.01)]
    assert found["expires_at"] == found["candidates"][0]["expires_at"]


@pytest.mark.parametrize(
    ("candidates", "left_h"),
    [
        ([("us-east-1", 9.0), ("us-west-1", 2.0)], 2.0),
        ([("us-west-1", 4.0), ("any", 3.0)], 3.0),
        ([("us-east-1", 2.0)], 5.0),
        ([("us-west-1", None)], 5.0),
    ],
    ids=["its-own", "the-earliest-that-it-may-be", "no-candidate", "an-old-candidate"],
)
def test_a_machine_is_over_at_the_end_of_the_candidate_that_was_rented(
    tmp_path: Path, candidates: list[tuple[str, float | None]], left_h: float
) -> None:
    ctx, now = made(tmp_path), datetime.now(UTC)
    write_json(ctx.run.host, HOST.to_mapping())
    ctx.run.terraform.mkdir()
    inputs = [
        {
            "instance_type": HOST.instance_type,
            "region": region,
            "spot": False,
            "max_price_usd_per_h": 1.0,
            **({} if hours is None else {"expires_at": (now + timedelta(hours=hours)).isoformat()}),
        }
        for region, hours in candidates
    ]
    values = {"candidates": inputs, "expires_at": (now + timedelta(hours=5)).isoformat()}
    write_json(ctx.run.terraform / VARIABLES_FILE, values)

    assert seconds_to_hard_end(ctx) == pytest.approx(left_h * HOUR_S, abs=30)


@pytest.mark.parametrize("damage", ["gone", "cut", '{"candidates": 5, "expires_at": "x"}'])
def test_a_machine_whose_inputs_cannot_be_read_ends_by_its_plan(tmp_path: Path, damage: str) -> None:
    ctx = planned(made(tmp_path, max_hours=2.0), 1.0)
    write_json(ctx.run.host, HOST.to_mapping())
    ctx.run.terraform.mkdir()
    if damage != "gone":
        (ctx.run.terraform / VARIABLES_FILE).write_text(damage)
    Journal(ctx.run).intent("provision")

    assert rented_until(ctx) is None
    assert seconds_to_hard_end(ctx) == pytest.approx(3 * HOUR_S, abs=30)


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
