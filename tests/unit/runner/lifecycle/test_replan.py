"""A run that is resumed: who pays is asked before anything of it changes, and only where something is rented."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.context import Context, open_context
from runner.errors import DiskSpaceError, RunInterruptedError, UsageError
from runner.lifecycle import by_mark, replan
from runner.lifecycle import drive as lifecycle
from runner.lifecycle.finish import Outcome
from runner.lifecycle.steps import plan
from runner.planning.ends import Used
from runner.run.models import TrainerStatus
from runner.run.planned import Plan
from runner.run.run_dir import RunDir, create_run, mark_plan, write_json
from runner.run.state import RunState
from runner.world import RealWorld
from tests.unit.runner.fake_cloud import FakeCloud, thing
from tests.unit.runner.made_plan import made_plan

NOW = datetime(2026, 11, 21, 1, 55, tzinfo=UTC)
Check = Callable[..., Plan]


class Payer:
    """Somebody who answers as they are made to, and counts the questions."""

    def __init__(self, answer: str = "yes") -> None:
        self.answer, self.expected, self.asked = answer, 0, 0

    def expect(self, ctx: Context) -> None:
        self.expected += 1
        if self.answer == "nobody":
            raise UsageError("plan: there is no terminal", resolution="say yes")

    def ask(self, ctx: Context, found: Plan) -> None:
        self.asked += 1
        if self.answer == "no":
            raise RunInterruptedError("plan: nothing was rented", resolution="resume it")


def resume(run: RunDir, payer: Payer) -> Outcome:
    world = RealWorld()
    return lifecycle.resume(run, None, SilentView(), Stop(world), world, consent=payer)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run on a rented machine that was interrupted and taken down."""
    made = create_run(tmp_path, "tiny", NOW, RealWorld())
    write_json(made.config, {"data": {"train_path": "x"}, "compute": {"env": "lambda"}})
    state = RunState(made)
    for name in ("provision", "destroy"):
        state.begin(name)
        state.end(name, "done", 1.0)
    state.finish("interrupted", "run: stopped on request")
    write_json(made.receipt, {"left": 0})
    return made


@pytest.fixture
def lived(monkeypatch: pytest.MonkeyPatch) -> list[Plan | None]:
    """The plans that a run was driven by; planning finds the same each time."""
    found: list[Plan | None] = []

    def live(ctx: Context, planned: Plan | None, *, detach: bool) -> Outcome:
        found.append(planned)
        return Outcome(ctx.run, running=True)

    monkeypatch.setattr(lifecycle, "_whole_life", live)
    monkeypatch.setattr(plan, "check", lambda *arguments, **options: made_plan(environment="lambda"))
    return found


def files_of(run: RunDir) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in run.file("").entries() if entry.is_file()}


def test_a_yes_forgets_the_machine_that_is_gone_with_the_last_word_to_it(
    run: RunDir, lived: list[Plan | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By that word a sweep took the next machine, which had none yet, for one whose lease had run out."""
    monkeypatch.setattr(plan, "record", lambda ctx, found: None)
    forgotten = [run.file(name) for name in ("host.json", "lease.json", "receipt.json")]
    for file in forgotten:
        write_json(file, {})
    ctx = open_context(run, SilentView(), Stop(RealWorld()), RealWorld())

    replan.record_again(ctx, made_plan())

    assert [file.name for file in forgotten if file.exists()] == []


def test_a_yes_drives_the_run_by_the_plan_that_was_asked_about(run: RunDir, lived: list[Plan | None]) -> None:
    payer = Payer()

    assert resume(run, payer).running

    assert lived == [made_plan(environment="lambda")]
    assert (payer.expected, payer.asked) == (1, 1)


@pytest.mark.parametrize(("answer", "error"), [("no", RunInterruptedError), ("nobody", UsageError)])
def test_anything_but_a_yes_leaves_the_run_as_it_was(
    answer: str, error: type[Exception], run: RunDir, lived: list[Plan | None]
) -> None:
    before = files_of(run)

    with pytest.raises(error):
        resume(run, Payer(answer))

    assert files_of(run) == before
    assert lived == []


def test_a_check_that_fails_leaves_the_run_as_it_was(
    run: RunDir, lived: list[Plan | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(*arguments: object, **options: object) -> Plan:
        raise DiskSpaceError("plan: the disk is too small", resolution="free space")

    monkeypatch.setattr(plan, "check", check)
    before, payer = files_of(run), Payer()

    with pytest.raises(DiskSpaceError):
        resume(run, payer)

    assert files_of(run) == before
    assert (payer.asked, lived) == (0, [])


def test_a_plan_stays_a_plan_until_the_answer_is_yes(tmp_path: Path, lived: list[Plan | None]) -> None:
    planned = create_run(tmp_path, "tiny", NOW, RealWorld())
    write_json(planned.config, {"data": {"train_path": "x"}, "compute": {"env": "lambda"}})
    mark_plan(planned, NOW)

    with pytest.raises(RunInterruptedError):
        resume(planned, Payer("no"))
    assert planned.is_plan

    resume(planned, Payer())
    assert not planned.is_plan


def test_nobody_is_asked_to_come_back_to_a_trainer_that_runs(
    run: RunDir, lived: list[Plan | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    RunState(run).forget("destroy")
    payer = Payer("nobody")
    monkeypatch.setattr(lifecycle, "status_or_none", lambda ctx: TrainerStatus("running"))
    monkeypatch.setattr(lifecycle, "_from_training", lambda ctx: Outcome(ctx.run, running=True))
    monkeypatch.setattr(by_mark, "open_cloud", lambda name, world: FakeCloud([thing(run_id=run.run_id)]))

    assert resume(run, payer).running

    assert (payer.expected, payer.asked, lived) == (0, 0, [])


def test_without_a_yes_to_be_had_no_machine_is_taken_down_for_another(
    run: RunDir, lived: list[Plan | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    RunState(run).forget("destroy")
    monkeypatch.setattr(lifecycle, "status_or_none", lambda ctx: TrainerStatus("exited", exit_code=1))

    def down(ctx: Context) -> Outcome:
        raise AssertionError("the machine was taken down")

    monkeypatch.setattr(lifecycle, "down", down)

    with pytest.raises(UsageError):
        resume(run, Payer("nobody"))


def has_had_a_machine(run: RunDir, hours: float, **budget: float) -> None:
    """Let a run have had a machine for some hours, at a dollar an hour."""
    write_json(run.config, {"data": {"train_path": "x"}, "compute": {"env": "lambda"}, "budget": budget})
    asked = {"time": NOW.isoformat(), "kind": "intent", "action": "provision", "environment": "lambda"}
    handed = asked | {"kind": "answer", "instance_id": "i-1", "price_usd_per_h": 1.0}
    gone = {"time": (NOW + timedelta(hours=hours)).isoformat(), "kind": "answer", "action": "destroy", "left": []}
    run.file("journal.jsonl").write_bytes(b"".join(json.dumps(one).encode() + b"\n" for one in (asked, handed, gone)))


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"max_usd": 2.0}, "the run's machines may have cost \\$2.50, and budget.max_usd is 2"),
        ({"max_hours": 2.5}, "the run has had machines for 2.5 h, and budget.max_hours is 2.5"),
    ],
)
def test_a_run_whose_limits_are_used_up_by_earlier_machines_rents_no_other(
    budget: dict[str, float], said: str, run: RunDir, lived: list[Plan | None]
) -> None:
    has_had_a_machine(run, 2.5, **budget)
    payer = Payer()

    with pytest.raises(UsageError, match=said) as caught:
        resume(run, payer)

    assert "SET=budget.max_" in caught.value.resolution
    assert (payer.asked, lived) == (0, [])


def test_a_run_with_hours_and_money_left_goes_on(run: RunDir, lived: list[Plan | None]) -> None:
    has_had_a_machine(run, 2.5, max_usd=2.6, max_hours=2.6)

    assert resume(run, Payer()).running


def test_a_run_is_planned_anew_with_what_its_earlier_machines_have_left_of_the_budget(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_had_a_machine(run, 2.5)
    asked: list[Used] = []

    def check(*arguments: object, used: Used, **options: object) -> Plan:
        asked.append(used)
        return made_plan()

    monkeypatch.setattr(plan, "check", check)

    replan.check_again(open_context(run, SilentView(), Stop(RealWorld()), RealWorld()))

    assert asked == [Used(usd=pytest.approx(2.5), hours=pytest.approx(2.5))]
