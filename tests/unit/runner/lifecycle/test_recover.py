"""Recovery: when another machine is rented by itself, how often, and for how much at most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.context import Context
from runner.errors import (
    AccountError,
    CloudUnavailableError,
    ConnectionLostError,
    MachineLostError,
    NoCapacityError,
    NoPlaceError,
    ReclaimedError,
    RunInterruptedError,
    RunnerError,
    TeardownError,
    TrainerLostError,
    TrainingFailedError,
)
from runner.lifecycle import drive, recover
from runner.lifecycle.finish import Outcome
from runner.planning.ends import BudgetError
from runner.run.planned import Plan, PlannedMachine
from runner.run.run_dir import create_run
from runner.run.run_file import RunFile
from runner.run.spend import Spend
from runner.world import RealWorld
from tests.unit.runner.kept_lines import Lines
from tests.unit.runner.made_plan import made_plan

MACHINE = PlannedMachine("gpu_1x_a10", "us-west-1", False, 1.0, 1.0, most_usd=3.0)
PLAN = made_plan(machines=(MACHINE,), most_usd=3.0)
LOST = MachineLostError("train: machine i-1 no longer exists on lambda", resolution="resume")


class Lives:
    """Tries that end as it was written beforehand; keeps the budget of each."""

    def __init__(self, *ends: RunnerError | None) -> None:
        self.ends, self.budgets_usd = list(ends), list[float | None]()

    def live(self, ctx: Context, found: Plan) -> Outcome:
        self.budgets_usd.append(ctx.run_file.budget.max_usd)
        return Outcome(ctx.run, self.ends.pop(0))


def context(tmp_path: Path, *, recoveries: int = 2, env: str = "lambda", **budget: Any) -> Context:
    world = RealWorld({})
    run = create_run(tmp_path, "tiny", datetime(2026, 11, 29, tzinfo=UTC), world)
    values = {"data": {"train_path": "x"}, "compute": {"env": env, "recoveries": recoveries}, "budget": budget}
    return Context(run, RunFile.model_validate(values), Lines(), Stop(world), world)


@pytest.fixture(autouse=True)
def checks(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The budgets that were checked, each found good."""
    budgets: list[float | None] = []

    def check(ctx: Context) -> Plan:
        budgets.append(ctx.run_file.budget.max_usd)
        return PLAN

    monkeypatch.setattr(recover, "check_again", check)
    return budgets


def spent(monkeypatch: pytest.MonkeyPatch, usd: float) -> None:
    monkeypatch.setattr(Spend, "known_usd", property(lambda self: usd))


def said(ctx: Context) -> list[str]:
    return ctx.view.said  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    "error",
    [
        LOST,
        ConnectionLostError("train: no answer for half an hour", resolution="look"),
        ReclaimedError("aws: the machine was shut down while it booted", resolution="name more"),
    ],
)
def test_a_lost_machine_is_followed_by_another_one_within_what_was_agreed_to(
    error: RunnerError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checks: list[float | None]
) -> None:
    ctx, lives = context(tmp_path), Lives(None)
    spent(monkeypatch, 1.0)

    ended = recover.go_on(ctx, Outcome(ctx.run, error), 3.0, lives.live)

    assert ended == Outcome(ctx.run)
    assert lives.budgets_usd == checks == [3.0]
    assert said(ctx) == [f"{error.message}; recovery 1 of 2, for at most $2.00 more"]


def test_it_recovers_so_often_and_no_more(tmp_path: Path) -> None:
    ctx, lives = context(tmp_path), Lives(LOST, LOST, None)

    ended = recover.go_on(ctx, Outcome(ctx.run, LOST), 3.0, lives.live)

    assert ended.error is LOST
    assert len(lives.budgets_usd) == 2


@pytest.mark.parametrize(
    "error",
    [
        None,
        RunInterruptedError("stopped", resolution="-"),
        TeardownError("something may bill", resolution="-"),
        TrainingFailedError("data: line 3", resolution="-"),
        TrainerLostError("killed by signal 9", resolution="-"),
        AccountError("no balance", resolution="-"),
        CloudUnavailableError("no answer", resolution="-"),
        NoCapacityError("none available", resolution="-"),
        NoPlaceError("no network", resolution="-"),
    ],
)
def test_nothing_but_a_lost_machine_is_recovered_from(error: RunnerError | None, tmp_path: Path) -> None:
    ctx, lives = context(tmp_path), Lives()

    assert recover.go_on(ctx, Outcome(ctx.run, error), 3.0, lives.live).error is error
    assert said(ctx) == []


@pytest.mark.parametrize(("env", "recoveries"), [("lambda", 0), ("local", 3)])
def test_nothing_is_rented_unasked_or_for_a_machine_of_ones_own(env: str, recoveries: int, tmp_path: Path) -> None:
    ctx, lives = context(tmp_path, env=env, recoveries=recoveries), Lives()

    assert recover.go_on(ctx, Outcome(ctx.run, LOST), 3.0, lives.live).error is LOST


def test_recovery_is_off_unless_the_run_file_says_so() -> None:
    assert RunFile().compute.recoveries == 0


def test_who_has_asked_to_stop_gets_no_other_machine(tmp_path: Path) -> None:
    ctx, lives = context(tmp_path), Lives()
    ctx.stop.count = 1

    assert recover.go_on(ctx, Outcome(ctx.run, LOST), 3.0, lives.live).error is LOST


def test_without_a_limit_nothing_is_rented_again(tmp_path: Path) -> None:
    ctx, lives = context(tmp_path), Lives()

    assert recover.go_on(ctx, Outcome(ctx.run, LOST), None, lives.live).error is LOST
    assert said(ctx) == ["not recovered: recovery: the plan names no most that the run may cost"]


def test_where_the_money_is_used_up_the_run_ends_as_it_had_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, lives = context(tmp_path), Lives()

    def refuse(ctx: Context) -> Plan:
        raise BudgetError("plan: budget.max_usd is 3, of which earlier tries have spent $2.90", resolution="-")

    monkeypatch.setattr(recover, "check_again", refuse)

    assert recover.go_on(ctx, Outcome(ctx.run, LOST), 3.0, lives.live).error is LOST
    assert said(ctx)[-1].startswith("not recovered: plan: budget.max_usd is 3")


# ---- on another cloud


NONE = NoCapacityError("lambda: none of 1 candidates is available", resolution="-")


class Places(Lives):
    """Tries that keep where each of them was, and for what machines."""

    def __init__(self, *ends: RunnerError | None) -> None:
        super().__init__(*ends)
        self.asked = list[tuple[str, list[str], list[str]]]()

    def live(self, ctx: Context, found: Plan) -> Outcome:
        compute = ctx.run_file.compute
        self.asked.append((compute.env, compute.instance_types, compute.recover_on))
        return super().live(ctx, found)


def elsewhere(tmp_path: Path, *clouds: str, **compute: Any) -> Context:
    ctx = context(tmp_path)
    update = {"recover_on": list(clouds), "instance_types": ["gpu_1x_a10"], "image": "mine", **compute}
    changed = ctx.run_file.compute.model_copy(update=update)
    return replace(ctx, run_file=ctx.run_file.model_copy(update={"compute": changed}))


def test_where_its_own_cloud_has_none_a_run_goes_on_with_the_next_that_it_names(tmp_path: Path) -> None:
    ctx, lives = elsewhere(tmp_path, "lambda", "runpod", "aws"), Places(NONE, NONE, None)

    ended = recover.go_on(ctx, Outcome(ctx.run, LOST), 3.0, lives.live)

    assert ended.error is None
    assert lives.asked == [
        ("lambda", ["gpu_1x_a10"], ["lambda", "runpod", "aws"]),
        ("runpod", [], ["lambda", "aws"]),
        ("aws", [], ["lambda", "runpod"]),
    ]
    assert lives.budgets_usd == [3.0, 3.0, 3.0]
    assert [line.partition("recovery ")[2] for line in said(ctx)] == [
        f"1 of 2 on {cloud}, for at most $3.00 more" for cloud in ("lambda", "runpod", "aws")
    ]


def test_a_machine_that_is_lost_there_is_one_more_recovery_and_begins_at_home(tmp_path: Path) -> None:
    ctx, lives = elsewhere(tmp_path, "runpod"), Places(NONE, LOST, None)

    assert recover.go_on(ctx, Outcome(ctx.run, LOST), 3.0, lives.live).error is None
    assert [place for place, _, _ in lives.asked] == ["lambda", "runpod", "lambda"]


@pytest.mark.parametrize(
    "error", [TeardownError("something may bill", resolution="-"), TrainingFailedError("line 3", resolution="-")]
)
def test_nothing_but_a_lack_of_machines_leads_to_another_cloud(error: RunnerError, tmp_path: Path) -> None:
    ctx, lives = elsewhere(tmp_path, "runpod"), Places(error)

    assert recover.go_on(ctx, Outcome(ctx.run, LOST), 3.0, lives.live).error is error
    assert len(lives.asked) == 1


def test_a_cloud_that_cannot_be_planned_on_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx, lives = elsewhere(tmp_path, "runpod", "aws"), Places(None)

    def check(ctx: Context) -> Plan:
        if ctx.run_file.compute.env == "aws":
            return PLAN
        raise BudgetError(f"plan: {ctx.run_file.compute.env} is too dear", resolution="-")

    monkeypatch.setattr(recover, "check_again", check)

    assert recover.go_on(ctx, Outcome(ctx.run, LOST), 3.0, lives.live).error is None
    assert [place for place, _, _ in lives.asked] == ["aws"]
    assert [line for line in said(ctx) if line.startswith("not")] == [
        "not recovered on lambda: plan: lambda is too dear",
        "not recovered on runpod: plan: runpod is too dear",
    ]


def test_who_has_asked_to_stop_gets_no_machine_of_another_cloud_either(tmp_path: Path) -> None:
    ctx = elsewhere(tmp_path, "runpod")

    def live(there: Context, found: Plan) -> Outcome:
        ctx.stop.count = 1
        return Outcome(ctx.run, NONE)

    assert recover.go_on(ctx, Outcome(ctx.run, LOST), 3.0, live).error is NONE
    assert not any("runpod" in line for line in said(ctx))


# ---- what was agreed to


@pytest.mark.parametrize(
    ("max_usd", "before_usd", "agreed_usd"),
    [(None, 0.0, 3.0), (None, 1.5, 4.5), (10.0, 1.5, 4.5), (2.0, 0.0, 2.0)],
)
def test_the_most_of_one_machine_beside_what_was_spent_before_is_agreed_to(
    max_usd: float | None, before_usd: float, agreed_usd: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = context(tmp_path, max_usd=max_usd)
    spent(monkeypatch, before_usd)

    assert recover.agreed_usd(ctx, PLAN) == agreed_usd


def test_what_a_machine_has_cost_that_is_there_already_is_not_agreed_to_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = context(tmp_path)
    ctx.keep_plan(PLAN)
    spent(monkeypatch, 1.5)

    assert recover.agreed_usd(ctx, None, has_machine=True) == 3.0


@pytest.mark.parametrize("max_usd", [None, 5.0])
def test_of_a_plan_that_says_nothing_the_budget_alone_counts(max_usd: float | None, tmp_path: Path) -> None:
    ctx = context(tmp_path, max_usd=max_usd)

    assert recover.agreed_usd(ctx, made_plan(machines=(replace(MACHINE, most_usd=None),))) == max_usd
    assert recover.agreed_usd(ctx, None) == max_usd  # there is no plan in the folder


# ---- in the life of a run


def test_a_run_lives_on_with_a_plan_of_its_own_and_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path)
    tries: list[tuple[Plan | None, bool]] = []

    def one_try(ctx: Context, planned: Plan | None, *, detach: bool) -> Outcome:
        tries.append((planned, detach))
        return Outcome(ctx.run, LOST if len(tries) == 1 else None)

    monkeypatch.setattr(drive, "_one_try", one_try)
    ctx.keep_plan(PLAN)

    assert drive.drive(ctx).error is None
    assert tries == [(None, False), (PLAN, False)]


def test_watch_recovers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path)
    lives: Callable[..., Outcome] = lambda ctx, planned, *, detach: Outcome(ctx.run)  # noqa: E731
    monkeypatch.setattr(drive, "_watch", lambda ctx: Outcome(ctx.run, LOST))
    monkeypatch.setattr(drive, "_one_try", lives)
    ctx.keep_plan(PLAN)

    assert drive.watch(ctx).error is None
