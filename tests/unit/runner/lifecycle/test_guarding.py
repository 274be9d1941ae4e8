"""The guard beside the life of a run: before anything is rented, with every word, and gone when nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.adapters.terraform import VARIABLES_FILE
from runner.context import Context
from runner.errors import EXIT_USAGE, RunInterruptedError, TeardownError, ToolError, UsageError
from runner.guard.place import only_guard
from runner.guard.words import Facts, Receivers
from runner.lifecycle import drive, finish, guarding
from runner.lifecycle.steps import provision
from runner.run.journal import Journal
from runner.run.models import Host
from runner.run.notices_section import NoticesSection
from runner.run.run_dir import create_run, mark_plan, write_json
from runner.run.run_file import RunFile, StoreSection
from runner.simulation.world import VirtualWorld
from runner.world import RealWorld, World
from tests.unit.runner.guard.fake_guard import FakeGuard
from tests.unit.runner.kept_lines import Lines

HOST = Host("203.0.113.7", 22, "ubuntu", "i-1", "gpu_1x_a10", "us-west-1", False, 1.0, None, "lambda")
CANNOT = ToolError("guard: the guard did not start: no room", resolution="-")


@dataclass
class Guards:
    """The guards that were started, with what each was handed."""

    facts: list[Facts] = field(default_factory=list)
    started: list[FakeGuard] = field(default_factory=list)
    trouble: ToolError | None = None
    cancels: list[Callable[[], bool]] = field(default_factory=list)

    def start(self, facts: Facts, world: World, log: Path, cancel: Callable[[], bool]) -> FakeGuard:
        self.cancels.append(cancel)
        if self.trouble is not None:
            raise self.trouble
        self.facts.append(facts)
        self.started.append(FakeGuard())
        return self.started[-1]


@pytest.fixture
def guards(monkeypatch: pytest.MonkeyPatch) -> Guards:
    found = Guards()
    monkeypatch.setattr(guarding, "start_guard", found.start)
    monkeypatch.setattr(guarding, "may_be_the_account", lambda ctx: True)
    return found


@pytest.fixture
def world() -> Iterator[VirtualWorld]:
    with VirtualWorld() as found:
        yield found


def made(folder: Path, env: str = "lambda", world: World | None = None, **budget: Any) -> Context:
    here = world or RealWorld({"HOME": str(folder)})
    run = create_run(folder, "tiny", datetime(2026, 11, 28, tzinfo=UTC), here)
    values = {"data": {"train_path": "x"}, "compute": {"env": env}, "budget": {"max_hours": 3.0, **budget}}
    write_json(run.config, values)
    return Context(run, RunFile.model_validate(values), Lines(), Stop(here), here)


def said(ctx: Context) -> list[str]:
    assert isinstance(ctx.view, Lines)
    return ctx.view.said


def test_it_is_handed_the_run_before_anything_is_rented(guards: Guards, tmp_path: Path) -> None:
    ctx = made(tmp_path, lease_minutes=5.0)

    guarding.begin(ctx, rents=True)

    (facts,) = guards.facts
    assert (facts.run_id, facts.cloud, facts.lease_s) == (ctx.run.run_id, "lambda", 300.0)
    assert facts.hard_end_s == pytest.approx(4 * 3600, abs=60)
    assert said(ctx) == []


def test_it_is_handed_who_gets_notices_and_no_other_secret(guards: Guards, tmp_path: Path) -> None:
    variables = {"HOOK": "ntfy://secret", "DISPLAY": ":0", "LAMBDA_API_KEY": "k", "OTHER": "o"}
    ctx = made(tmp_path, world=RealWorld({"HOME": str(tmp_path), **variables}))
    section = NoticesSection(urls=["${HOOK}"], events=["terminated"], command=["notify-send", "Douse"])

    guarding.begin(replace(ctx, run_file=ctx.run_file.model_copy(update={"notices": section})), rents=True)

    assert guards.facts[0].receivers == Receivers(
        ["${HOOK}"],
        ["terminated"],
        ["notify-send", "Douse"],
        str(Path.cwd()),
        {"HOOK": "ntfy://secret", "DISPLAY": ":0"},
    )


def test_where_nobody_gets_notices_it_is_handed_nobody(guards: Guards, tmp_path: Path) -> None:
    guarding.begin(made(tmp_path), rents=True)

    assert guards.facts[0].receivers is None


@pytest.mark.parametrize(("env", "saving_s"), [("lambda", 60.0), ("runpod", 600.0), ("aws", 600.0)])
def test_a_machine_that_ends_itself_gets_more_time_to_do_so(
    env: str, saving_s: float, guards: Guards, tmp_path: Path
) -> None:
    guarding.begin(made(tmp_path, env), rents=False)

    assert guards.facts[0].saving_s == saving_s


@pytest.mark.parametrize(
    ("env", "boot", "is_said"),
    [
        ("runpod", "another", True),
        ("aws", "another", True),
        ("runpod", None, False),
        ("lambda", "another", False),
        ("runpod", "", False),
    ],
    ids=["elsewhere", "elsewhere on aws", "here", "shown by the cloud", "unknown"],
)
def test_who_goes_on_with_a_run_of_another_computer_hears_of_its_guard(
    env: str, boot: str | None, is_said: bool, guards: Guards, tmp_path: Path
) -> None:
    ctx = made(tmp_path, env)
    clock = {"boot": ctx.world.boot_id if boot is None else boot, "up_s": 1.0}
    Journal(ctx.run).intent("provision", clock=clock)

    guarding.begin(ctx, rents=False)

    assert ["may terminate the machine" in line for line in said(ctx)] == [True] * is_said


def test_another_accounts_key_takes_the_place_of_no_guard(
    guards: Guards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard that lives may have the right key; one with another looks for the machine where there is none."""
    monkeypatch.setattr(guarding, "may_be_the_account", lambda ctx: False)
    ctx = made(tmp_path)

    with only_guard(ctx.run.run_id, ctx.world):
        guarding.begin(ctx, rents=False)
        guarding.hold(ctx, HOST, None)
        assert (guards.started, said(ctx)) == ([], [])

    guarding.begin(ctx, rents=False)
    assert guards.started == []
    words = "this lambda account is not the one that the run was rented with: if this runner is killed, "
    assert said(ctx) == [f"{words}nothing terminates it"]


@pytest.mark.parametrize("env", ["lambda", "runpod", "aws"])
def test_one_that_is_being_rented_has_nothing_to_save_yet(env: str, guards: Guards, tmp_path: Path) -> None:
    guarding.begin(made(tmp_path, env), rents=True)

    assert guards.facts[0].saving_s == 60.0


@pytest.mark.parametrize(
    ("env", "is_leased", "heard"), [("runpod", True, [600.0]), ("aws", False, [60.0]), ("lambda", True, [])]
)
def test_a_guard_hears_whether_the_machines_own_lease_runs(
    env: str, is_leased: bool, heard: list[float], guards: Guards, tmp_path: Path
) -> None:
    ctx = made(tmp_path, env)
    guarding.begin(ctx, rents=True)

    guarding.saves(ctx, is_leased=is_leased)

    assert [word["saving_s"] for word in guards.started[0].heard if word["word"] == "saves"] == heard


def test_a_second_ctrl_c_is_heard_while_a_guard_starts(guards: Guards, tmp_path: Path) -> None:
    ctx = made(tmp_path)
    guarding.begin(ctx, rents=True)
    (is_given_up,) = guards.cancels

    assert not is_given_up()
    ctx.stop.count = 2
    assert is_given_up()


def test_a_run_that_was_stopped_while_its_guard_started_rents_nothing(guards: Guards, tmp_path: Path) -> None:
    ctx = made(tmp_path)
    guards.trouble, ctx.stop.count = CANNOT, 2

    with pytest.raises(RunInterruptedError):
        guarding.begin(ctx, rents=True)


def test_one_process_starts_one_guard(guards: Guards, tmp_path: Path) -> None:
    ctx = made(tmp_path)

    for _ in range(3):
        guarding.begin(ctx, rents=False)

    assert len(guards.started) == 1


@pytest.mark.parametrize("env", ["local", "existing"])
def test_a_machine_that_was_given_needs_none(env: str, guards: Guards, tmp_path: Path) -> None:
    ctx = made(tmp_path)
    given = ctx.run_file.compute.model_copy(update={"env": env})

    guarding.begin(Context(ctx.run, ctx.run_file.model_copy(update={"compute": given}), ctx.view, ctx.stop, ctx.world),
                   rents=True)  # fmt: skip

    assert guards.started == []


def test_where_nothing_else_ends_the_machine_a_run_does_not_rent_without_it(guards: Guards, tmp_path: Path) -> None:
    guards.trouble = CANNOT
    ctx = made(tmp_path)
    mark_plan(ctx.run, ctx.world.now())

    with pytest.raises(UsageError, match="no room; on lambda nothing else terminates the machine") as caught:
        drive.up(ctx)

    assert caught.value.exit_code == EXIT_USAGE
    assert "budget.guard=false" in caught.value.resolution
    assert ctx.run.is_plan


@pytest.mark.parametrize("env", ["runpod", "aws"])
def test_where_the_cloud_has_an_end_of_its_own_that_is_said(env: str, guards: Guards, tmp_path: Path) -> None:
    guards.trouble = CANNOT
    ctx = made(tmp_path, env)

    guarding.begin(ctx, rents=True)

    (line,) = said(ctx)
    assert line.startswith("guard: the guard did not start: no room: if this runner is killed, there is only ")


def test_a_machine_that_is_there_is_never_left_for_lack_of_a_guard(guards: Guards, tmp_path: Path) -> None:
    guards.trouble = CANNOT
    ctx = made(tmp_path)

    guarding.begin(ctx, rents=False)

    assert said(ctx)[0].endswith("if this runner is killed, nothing terminates it")


def test_whoever_wants_none_is_reminded(guards: Guards, tmp_path: Path) -> None:
    ctx = made(tmp_path, guard=False)

    for _ in range(3):
        guarding.begin(ctx, rents=True)

    assert guards.started == []
    assert said(ctx) == [
        "no guard watches over the machine (budget.guard is false): if this runner is killed, nothing terminates it"
    ]


def test_a_disk_that_is_full_costs_the_guard_and_nothing_else(
    guards: Guards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = made(tmp_path)

    def full(facts: Facts, world: World, log: Path, cancel: Callable[[], bool]) -> FakeGuard:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(guarding, "start_guard", full)

    guarding.begin(ctx, rents=False)

    assert "No space left on device" in said(ctx)[0]


def test_a_guard_that_does_not_end_spoils_no_end_of_a_run(
    guards: Guards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lives_on(run_id: str, world: World) -> None:
        raise CANNOT

    monkeypatch.setattr(guarding, "end_guard", lives_on)
    ctx = made(tmp_path)

    guarding.let_go(ctx)

    assert said(ctx) == [CANNOT.message]


def test_a_runner_that_lives_says_so_all_the_time(guards: Guards, world: VirtualWorld, tmp_path: Path) -> None:
    guarding.begin(made(tmp_path, world=world), rents=True)

    world.sleep(101.0)

    assert guards.started[0].words == ["alive"] * 5


def test_a_guard_that_was_killed_is_replaced(guards: Guards, world: VirtualWorld, tmp_path: Path) -> None:
    guarding.begin(made(tmp_path, world=world), rents=True)
    guards.started[0].is_dead = True

    world.sleep(45.0)

    assert [guard.words for guard in guards.started] == [[], ["alive"]]


def test_it_knows_that_a_machine_was_asked_for_before_the_journal_does(
    guards: Guards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = made(tmp_path)
    guarding.begin(ctx, rents=True)

    class WrittenError(Exception):
        """The intent was about to be written."""

    def intent(*_: object, **__: object) -> None:
        assert guards.started[0].words == ["asks"]
        raise WrittenError

    monkeypatch.setattr(provision.Journal, "intent", intent)
    monkeypatch.setattr(provision, "_account", lambda ctx: {})

    with pytest.raises(WrittenError):
        provision._create(ctx, [])


def test_a_run_that_its_runner_leaves_is_handed_over(guards: Guards, tmp_path: Path) -> None:
    ctx = made(tmp_path, lease_minutes=5.0)
    ctx.run.login_key.parent.mkdir()
    ctx.run.login_key.write_text("the key")
    ctx.run.known_hosts.write_text("pinned")

    guarding.hold(ctx, HOST, "/home/ubuntu/.douse/runs/x")

    (held,) = guards.started[0].heard
    assert (held["word"], held["login_key"], held["known_hosts"]) == ("hold", "the key", "pinned")
    assert (held["host"]["address"], held["prefix"]) == ("203.0.113.7", "/home/ubuntu/.douse/runs/x")
    assert held["idle_s"] == 3600.0
    (line,) = said(ctx)
    assert line.startswith(
        "when nothing has trained for 60 minutes the guard terminates the machine, and what has not "
    )
    assert line.endswith(f"`make watch RUN={ctx.run.run_id}` brings it home")


@pytest.mark.parametrize(
    ("url", "work"),
    [
        ("s3://bucket/runs", "its work is in the store"),
        ("file:///srv/runs", "what has not come home by then is lost"),
        ("rclone://drive/runs", "what has not come home by then is lost"),
    ],
)
def test_only_a_store_that_the_machine_reaches_is_said_to_have_its_work(
    url: str, work: str, guards: Guards, tmp_path: Path
) -> None:
    ctx = made(tmp_path)
    ctx = replace(ctx, run_file=ctx.run_file.model_copy(update={"store": StoreSection(url=url)}))

    guarding.hold(ctx, HOST, "/home/ubuntu/.douse/runs/x")

    assert work in said(ctx)[0]


def test_of_a_machine_on_which_nothing_trains_yet_no_end_of_training_is_said(guards: Guards, tmp_path: Path) -> None:
    ctx = made(tmp_path)

    guarding.hold(ctx, HOST, None)

    assert guards.started[0].words == ["hold"]
    assert said(ctx) == []


@pytest.mark.parametrize("error", [None, TeardownError("it is there", resolution="-")], ids=["gone", "left"])
def test_it_is_let_go_once_nothing_is_left(
    error: TeardownError | None, guards: Guards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = made(tmp_path)
    guarding.begin(ctx, rents=True)
    monkeypatch.setattr(finish, "_bring_home", lambda ctx, error: [])
    monkeypatch.setattr(finish, "_give_up_machine", lambda ctx, error, keep_output: error)
    monkeypatch.setattr(finish, "_write_down", lambda ctx, error, came: None)

    finish.finish(ctx, error)

    assert guards.started[0].words == (["over"] if error is None else [])


def test_a_run_that_rents_again_after_its_end_gets_a_guard_again(guards: Guards, tmp_path: Path) -> None:
    """``resume`` takes the old machine down, and rents the next one in the same process."""
    ctx = made(tmp_path)
    guarding.begin(ctx, rents=False)
    guarding.let_go(ctx)

    guarding.begin(ctx, rents=True)
    guarding.asks(ctx)

    assert [guard.words for guard in guards.started] == [["over"], ["asks"]]


def test_only_the_new_guard_of_a_run_that_rents_again_hears_that_its_runner_lives(
    guards: Guards, world: VirtualWorld, tmp_path: Path
) -> None:
    ctx = made(tmp_path, world=world)
    guarding.begin(ctx, rents=False)
    guarding.let_go(ctx)
    guarding.begin(ctx, rents=True)

    world.sleep(45.0)

    assert [guard.words for guard in guards.started] == [["over"], ["alive"] * 2]


def test_a_guard_that_starts_while_its_run_ends_is_let_go_too(
    guards: Guards, world: VirtualWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = made(tmp_path, world=world)
    guarding.begin(ctx, rents=True)
    guards.started[0].is_dead = True

    def slow(facts: Facts, world: World, log: Path, cancel: Callable[[], bool]) -> FakeGuard:
        guarding.let_go(ctx)
        return guards.start(facts, world, log, cancel)

    monkeypatch.setattr(guarding, "start_guard", slow)

    world.sleep(65.0)

    assert [guard.words for guard in guards.started] == [[], ["over"]]
    assert guards.started[1].is_dead


def test_a_run_is_handed_to_another_guard_where_its_own_was_killed(guards: Guards, tmp_path: Path) -> None:
    ctx = made(tmp_path)
    guarding.begin(ctx, rents=True)
    guards.started[0].is_dead = True

    guarding.hold(ctx, HOST, "/home/ubuntu/.douse/runs/x")

    assert [guard.words for guard in guards.started] == [[], ["hold"]]
    assert said(ctx)[0].startswith("when nothing has trained for 60 minutes the guard terminates the machine")


def test_that_nobody_takes_a_run_over_is_said(guards: Guards, tmp_path: Path) -> None:
    ctx = made(tmp_path)
    guarding.begin(ctx, rents=True)
    guards.started[0].is_dead, guards.trouble = True, CANNOT

    guarding.hold(ctx, HOST, "/home/ubuntu/.douse/runs/x")

    (line,) = said(ctx)
    assert line.startswith("the guard was killed, and does not start again: ")
    assert line.endswith("nothing terminates it")


def test_no_guard_that_counts_on_a_runner_takes_the_place_of_one_that_keeps_a_run(
    guards: Guards, world: VirtualWorld, tmp_path: Path
) -> None:
    """It would terminate the machine as soon as the runner that has left is gone."""
    ctx = made(tmp_path, world=world)
    guarding.hold(ctx, HOST, None)
    guards.started[0].is_dead = True

    world.sleep(65.0)

    assert len(guards.started) == 1


@pytest.mark.parametrize("is_gone", [True, False], ids=["terminated", "never answered"])
def test_the_price_of_an_earlier_machine_shortens_the_time_of_no_other(
    is_gone: bool, guards: Guards, world: VirtualWorld, tmp_path: Path
) -> None:
    """The end that was planned holds what is left of the money at the price of what is asked for now."""
    ctx = made(tmp_path, world=world, max_usd=12.0)
    journal = Journal(ctx.run)
    journal.intent("provision", environment="lambda", candidates=[{"max_price_usd_per_h": 10.0}])
    if is_gone:
        journal.answer("provision", instance_id="i-0", price_usd_per_h=10.0)
        world.sleep(3600.0)
        journal.answer("destroy", left=[])
    ends_at = world.now() + timedelta(hours=2.0)
    write_json(ctx.run.terraform / VARIABLES_FILE, {"expires_at": f"{ends_at:%Y-%m-%dT%H:%M:%SZ}"})
    guarding.begin(ctx, rents=True)

    guarding.asks(ctx)

    assert guards.started[0].heard[0]["hard_end_s"] == pytest.approx(2 * 3600, abs=2)
