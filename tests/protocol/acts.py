"""What may happen to a run: calls of the product's own functions, from one state of the protocol to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from runner.adapters.stop import Stop
from runner.cli.terminal import SilentView
from runner.clouds.registry import Accounts
from runner.context import Context
from runner.errors import RunnerError, TeardownError
from runner.guard.guard import Guard
from runner.guard.words import Facts
from runner.lifecycle import by_mark, finish, replan
from runner.lifecycle.step import step
from runner.lifecycle.steps import destroy, provision
from runner.run.journal import Journal
from runner.run.run_dir import RunDir, write_json
from runner.run.run_file import RunFile
from runner.run.state import LOCK_NAME, RunState
from runner.safety import account_sweep
from runner.safety.lease_word import LEASE_NAME, last_word
from runner.safety.patience import Patience
from tests.protocol.stage import CLOUD, FOLDER, RUN, Choice, KilledError, Stage, Terraform, host_of, seconds_later
from tests.unit.runner.made_plan import MACHINE, made_plan

RUN_FILE = RunFile.model_validate({"data": {"train_path": "x"}, "compute": {"env": CLOUD}})
AGES = {"fresh": timedelta(minutes=1), "old": timedelta(hours=2)}
"""How old the last word to the machine is: well within its lease, or long after it."""
NEVER = "never"
"""There was no word, and the run is so old that there should have been."""
LEASE = timedelta(minutes=15)


@dataclass(frozen=True)
class State:
    """The run as it lies on disk and in the account, and who is there.

    Attributes:
        asked: Each request for a machine: ``open``, ``refused``, ``answered``; of all but the last it is not told apart
            what came of it, and they are ``past``.
        has_host: Whether the machine is written down.
        word: Age of the last word to the machine, a key of ``AGES``; empty where there is none, or ``NEVER``.
        began: Whether ``state.json`` says that a machine was going to be asked for.
        down: What ``state.json`` says of destroy; empty where it says nothing.
        has_receipt: Whether there is a receipt.
        machines: By machine, the seconds until the account lists it; ``None`` for one that is gone.
        runner: Whether a runner drives the run.
        guard: ``watching``, ``over``, ``dead``, or empty before there is one.
        crashes: How many more processes may be killed.
    """

    asked: tuple[str, ...] = ()
    has_host: bool = False
    word: str = ""
    began: bool = False
    down: str = ""
    has_receipt: bool = False
    machines: tuple[float | None, ...] = ()
    runner: bool = False
    guard: str = ""
    crashes: int = 2

    @property
    def bills(self) -> bool:
        """Whether a machine exists."""
        return any(one is not None for one in self.machines)


@dataclass(frozen=True)
class Result:
    """What came of an act.

    Attributes:
        state: The state after it.
        error: What the product said; ``None`` where all was well.
        was_killed: Whether its process was killed.
        foreign_left: How many machines of other people are left.
    """

    state: State
    error: RunnerError | None
    was_killed: bool
    foreign_left: int


Act = Callable[[Context, State], None]


@contextmanager
def stand_ins() -> Iterator[None]:
    """Put the stage in the place of Terraform, of the cloud's client and of looks beside them, for a while."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (provision, by_mark, destroy):
            patch.setattr(module, "open_cloud", lambda name, world: world.account)
        for module in (by_mark, destroy):
            patch.setattr(module, "accounts", lambda world: Accounts([world.account], {}, {}))
        patch.setattr(provision, "terraform_of", _terraform_of)
        patch.setattr(provision, "until_shown", lambda ctx: nullcontext())
        patch.setattr(destroy, "until_over", lambda ctx, looks: nullcontext())
        patch.setattr(destroy, "open_looks", lambda ctx: None)
        patch.setattr(destroy, "_destroy_resources", _destroy_resources)
        patch.setattr(replan.plan, "record", lambda ctx, found: None)
        yield


def rent(ctx: Context, state: State) -> None:
    """Ask for a machine, as ``train`` does for the first and ``resume`` for the next."""
    if state.asked:
        replan.record_again(ctx, made_plan())
    step(ctx, "provision", lambda: provision._create(ctx, [MACHINE]))


def take_down(ctx: Context, state: State) -> None:
    """Give the machine up, as every run does at its end and as ``down`` does.

    Raises:
        RunnerError: What a user is shown of it.
    """
    error = finish._give_up_machine(ctx, None, keep_output=True)
    if error is not None:
        raise error


def sweep(ctx: Context, state: State) -> None:
    """Sweep the account on the computer that has the run's folder, beside its runner if there is one."""
    account, now = ctx.world.account, ctx.world.now()  # type: ignore[attr-defined]
    held = ctx.world.disk.lock(FOLDER / LOCK_NAME) if state.runner else nullcontext()
    with held:
        found = account_sweep.survey([account], [ctx.run], now)
        doomed = [finding for finding in found.findings if finding.abandoned]
        account_sweep.end([account], doomed, wait=ctx.world.sleep, patience=Patience())


def guard(ctx: Context, state: State) -> None:
    """Let the guard of a runner that is gone watch until the run is over."""
    facts = Facts(RUN, CLOUD, str(FOLDER), LEASE.total_seconds(), 60.0, 24 * 3600.0, "https://cloud.lambda.ai/api/v1")
    words = Silence(ctx.world, [{"word": "asks", "hard_end_s": 24 * 3600.0}] if state.asked[-1:] == ("open",) else [])
    Guard(facts, ctx.world.account, ctx.world, words, lambda held: "lost").watch()  # type: ignore[attr-defined]


class Silence:
    """The words of a runner that has said one thing at most, and is gone."""

    has_ended = True

    def __init__(self, world: Any, said: list[dict[str, Any]]) -> None:
        self._world, self._said = world, said

    def next(self, timeout_s: float) -> list[dict[str, Any]]:
        said, self._said = self._said, []
        if not said:
            self._world.sleep(timeout_s)
        return said


def perform(act: Act, state: State, choice: Choice, killed_at: int | None = None) -> tuple[Result, int]:
    """Carry out an act from a state; return what came of it, and how many effects it had.

    Args:
        act: What is done.
        state: Where the run is.
        choice: What the world does meanwhile.
        killed_at: Before which of its effects the process is killed; ``None`` for never.
    """
    stage = Stage(choice, killed_at, counts_files=act is not guard)
    for name, content in files_of(replace(state, machines=(), runner=False, guard="", crashes=0)):
        stage.disk.write(FOLDER / name, content)
    if state.word == NEVER:
        stage.sleep(AGES["old"].total_seconds())
    stage.begin(state.machines)
    run, foreign = RunDir(FOLDER, stage), len(stage.account.foreign)
    ctx = Context(run, RUN_FILE, SilentView(), Stop(stage), stage)
    error: RunnerError | None = None
    try:
        act(ctx, state)
    except KilledError:
        assert stage.is_killed
    except RunnerError as err:
        error = err
    killed, stage.is_killed = stage.is_killed, False
    return Result(_state_on(run, stage, state), error, killed, len(stage.account.foreign) - foreign), stage.effects


@cache
def files_of(state: State) -> tuple[tuple[str, bytes], ...]:
    """Return the files of a run in a state."""
    world = Stage(Choice(), None)
    run = RunDir(FOLDER, world)
    world.disk.make_folder(FOLDER)
    write_json(run.config, RUN_FILE.model_dump(mode="json"))
    Context(run, RUN_FILE, SilentView(), Stop(world), world).keep_plan(made_plan())
    journal = Journal(run)
    for end in state.asked:
        journal.intent("provision", run_id=RUN, environment=CLOUD, account="mine salt", salt="salt")
        if end == "refused":
            journal.answer("provision", failed="no")
        elif end in ("answered", "past"):
            journal.answer("provision", instance_id="i-0", price_usd_per_h=1.29)
    if state.has_host:
        write_json(run.host, host_of(f"i-{len(state.asked) - 1}"))
    if state.word in AGES:
        said_at = world.now() - AGES[state.word]
        write_json(run.file(LEASE_NAME), {"word": "renew", "said_at": said_at.isoformat()})
    steps = RunState(run)
    if state.began:
        steps.begin("provision")
    if state.down:
        steps.begin("destroy")
        steps.end("destroy", state.down, 1.0)
    if state.has_receipt:
        write_json(run.receipt, {"format": 2})
    return tuple((entry.name, entry.read_bytes()) for entry in run.file("").entries() if entry.is_file())


def _state_on(run: RunDir, stage: Stage, before: State) -> State:
    """Return the state that the files and the account show."""
    steps = RunState(run).steps
    return replace(
        before,
        asked=_asked(Journal(run)),
        has_host=run.host.exists(),
        word=_word(run, stage, before.word),
        began="provision" in steps,
        down=steps.get("destroy", {}).get("status", ""),
        has_receipt=run.receipt.exists(),
        machines=seconds_later(stage.account.listed_at_s, stage),
    )


def _asked(journal: Journal) -> tuple[str, ...]:
    found: list[str] = []
    for line in journal.entries():
        if (line["action"], line["kind"]) == ("provision", "intent"):
            found.append("open")
        elif (line["action"], line["kind"]) == ("provision", "answer"):
            found[-1] = "refused" if "failed" in line else "answered"
    return (*("past" for _ in found[:-1]), *found[-1:])


def _word(run: RunDir, stage: Stage, before: str) -> str:
    said = last_word(run)
    if said is None:
        return NEVER if before in ("old", NEVER) else ""
    return "old" if stage.now() - said[1] > LEASE else "fresh"


def _terraform_of(ctx: Context, step: str, **options: Any) -> Any:
    return Terraform(ctx.world, options.get("on_start"))  # type: ignore[arg-type]


def _destroy_resources(ctx: Context) -> list[str]:
    """Stand for Terraform's destroy: it terminates the machine that it has handed back, if it works at all."""
    stage: Any = ctx.world
    if not stage.choice.terraform_works:
        raise TeardownError("terraform: destroy failed", resolution="-")
    host = ctx.host()
    if host is not None:
        stage.effect()
        stage.account.end_machine(host.instance_id)
    return []
