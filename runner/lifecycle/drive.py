"""The life of a run: which step follows which, what is skipped, and that it always ends in destroy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from runner.adapters.process import ToolCancelledError
from runner.adapters.stop import Stop
from runner.cloud_api.credentials import NotConfiguredError
from runner.context import Context, open_context
from runner.errors import (
    LeftUpError,
    RunInterruptedError,
    RunnerError,
    TeardownError,
    UsageError,
)
from runner.lifecycle import guarding, lease, notices, recover
from runner.lifecycle.by_mark import end_by_mark, refuse_other_account
from runner.lifecycle.finish import Outcome, disk_error, finish, left_for_want_of_room
from runner.lifecycle.homeward import coming_home
from runner.lifecycle.left_alone import leave_alone
from runner.lifecycle.longer import is_made_longer, is_of_another_recipe, with_same_steps
from runner.lifecycle.pinning import pinned
from runner.lifecycle.replan import Consent, check_again, record_again
from runner.lifecycle.standing import has_its_work, needs_no_training, status_or_none, status_to_watch
from runner.lifecycle.step import step
from runner.lifecycle.steps import configure, plan, provision, stage, train
from runner.lifecycle.stored_work import has_come_home, may_be_stored
from runner.report.plan.text import plan_lines
from runner.run.models import Host, View
from runner.run.planned import Plan
from runner.run.run_dir import RunDir, begin_run, create_run, mark_plan
from runner.run.run_file import RunFile, with_day
from runner.run.state import locked
from runner.store import run_store as storing
from runner.world import World


def new_run(
    run_file: RunFile, runs_dir: Path, view: View, stop: Stop, world: World, *, is_dry: bool = False
) -> Context:
    """Check a run file, then make its run folder with Terraform's plan in it; it is a plan until it is driven.

    No machine is rented and nothing is installed on one. What planning itself needs is fetched into this machine's
    cache where it is missing: a packaged base model, the small files of one on the Hub, Terraform.

    With ``is_dry`` only the checks are done: a run that is resumed is planned anew, and Terraform waits for that.
    """
    view.step_started("plan")
    began, started = world.now(), world.monotonic_s()
    run_file = with_day(run_file, began.date())
    found = plan.checker(world)(run_file, runs_dir, view, stop, world, is_dry=is_dry)
    stop.check()
    folder = create_run(runs_dir, run_file.run.name, world.now(), world)
    ctx = Context(folder, pinned(run_file, found), view, stop, world)
    mark_plan(ctx.run, world.now())
    with locked(ctx.run):
        ctx.state.begin("plan", began)
        (plan.write_down if is_dry else plan.record)(ctx, found)
        ctx.state.end("plan", "done", world.monotonic_s() - started)
    for line in plan_lines(found, bills=ctx.environment.bills):
        view.line(line)
    view.line(f"run          {ctx.run.path}")
    if ctx.run.file("plan.html").exists():
        view.line(f"plan page    {ctx.run.file('plan.html')}")
    view.step_ended("plan", "done", world.monotonic_s() - started)
    return ctx


def drive(ctx: Context, *, planned: Plan | None = None, detach: bool = False) -> Outcome:
    """Take a planned run through all its steps; whatever happens, it ends in destroy.

    Where ``compute.recoveries`` says so, a machine that is lost is followed by another one.

    Args:
        ctx: The run.
        planned: What a new check of a resumed run found: it goes on from its newest checkpoint, if there is one.
        detach: Leave once training runs.
    """
    agreed_usd = recover.agreed_usd(ctx, planned)
    with notices.announced(ctx):
        outcome = _one_try(ctx, planned, detach=detach)
        return recover.go_on(ctx, outcome, agreed_usd, _another_try)


def _one_try(ctx: Context, planned: Plan | None, *, detach: bool) -> Outcome:
    with _begun(ctx):
        notices.started(ctx)
        return _guarded(ctx, lambda: _whole_life(ctx, planned, detach=detach))


def _another_try(ctx: Context, found: Plan) -> Outcome:
    return _one_try(replace(ctx, run_file=pinned(ctx.run_file, found)), found, detach=False)


def up(ctx: Context) -> Outcome:
    """Provision a planned run and leave the machine up; a machine that did not come up well is taken down."""

    def provision_only() -> Outcome:
        host = step(ctx, "provision", lambda: provision.provision(ctx))
        lease.hand_over(ctx, host, None)
        return Outcome(ctx.run, running=True)

    with _begun(ctx):
        return _guarded(ctx, provision_only)


def build(ctx: Context) -> Outcome:
    """Provision and configure a planned run, then take it down: what is wanted are the machine's facts."""

    def build_only() -> Outcome:
        host = step(ctx, "provision", lambda: provision.provision(ctx))
        with lease.kept(ctx, host):
            ctx.stop.check()
            step(ctx, "configure", lambda: configure.configure(ctx, host))
        return Outcome(ctx.run)

    with _begun(ctx):
        return _guarded(ctx, build_only)


def watch(ctx: Context) -> Outcome:
    """Drive a run whose runner is gone to its end: attach, follow, collect, destroy, report."""
    agreed_usd = recover.agreed_usd(ctx, None, has_machine=True)
    with notices.announced(ctx):
        return recover.go_on(ctx, _watch(ctx), agreed_usd, _another_try)


def _watch(ctx: Context) -> Outcome:
    with locked(ctx.run):
        if ctx.state.is_done("destroy"):
            return Outcome(ctx.run)
        try:
            _need_trainer(ctx)
        except UsageError:
            if not has_come_home(ctx):
                raise
            return finish(ctx, None)
        refuse_other_account(ctx, "watch")
        return _guarded(ctx, lambda: _from_training(ctx))


def _need_trainer(ctx: Context) -> None:
    """Raise ``UsageError`` where a run has no trainer to watch."""
    if status_to_watch(ctx).state == "none":
        raise UsageError(
            f"watch: run {ctx.run.run_id} has no trainer to watch (it got as far as {_last_step(ctx)})",
            resolution=f"continue with `make resume RUN={ctx.run.run_id}`, "
            f"or remove it with `make down RUN={ctx.run.run_id}`",
        )


def resume(
    run: RunDir,
    run_file: RunFile | None,
    view: View,
    stop: Stop,
    world: World,
    *,
    consent: Consent,
    detach: bool = False,
) -> Outcome:
    """Continue a run from where it is: attach to a living trainer, else go on from the newest checkpoint.

    Args:
        run: The run.
        run_file: The run file with another machine or length in it, or ``None`` for the one it had.
        view: Who looks on.
        stop: Who may stop it.
        world: Time, chance and surroundings.
        consent: Who is asked before another machine is rented.
        detach: Leave once training runs.
    """
    ctx = open_context(run, view, stop, world)
    state = ctx.state
    run_file = None if run_file is None else with_same_steps(ctx, run_file)
    if state.outcome == "done" and not is_made_longer(ctx, run_file):
        view.line(f"run {run.run_id} is done already")
        return Outcome(run)
    if has_its_work(ctx) and not is_made_longer(ctx, run_file):
        view.line(f"what run {run.run_id} has made is here already; its machine's end is all that is left")
        return down(ctx)
    moved = run_file is not None and run_file.compute != ctx.run_file.compute
    bills = ctx.environment.bills
    may_have_machine = not state.is_done("destroy") and (ctx.host() is not None or bills)
    if may_have_machine and not moved and needs_no_training(status_or_none(ctx)):
        with notices.announced(ctx), locked(run):
            refuse_other_account(ctx, "resume")
            return _guarded(ctx, lambda: _from_training(ctx))
    if not is_of_another_recipe(ctx, run_file) and _has_come_home(ctx):
        return down(ctx)
    again = Context(run, run_file or ctx.run_file, view, stop, world)
    consent.expect(again)
    if may_have_machine and (moved or bills) and state.steps.get("provision"):
        taken_down = _make_way(ctx)
        if isinstance(taken_down.error, TeardownError):
            return taken_down
    found = check_again(again)
    consent.ask(again, found)
    return drive(replace(again, run_file=pinned(again.run_file, found)), planned=found, detach=detach)


def _make_way(ctx: Context) -> Outcome:
    """Take a run's machine down for another one; people hear of it only where it may still bill."""
    with notices.announced(ctx):
        taken_down = _down(ctx, for_another=True)
        if not isinstance(taken_down.error, TeardownError):
            notices.goes_on(ctx)
        return taken_down


def _has_come_home(ctx: Context) -> bool:
    if not may_be_stored(ctx):
        return False
    with locked(ctx.run):
        return has_come_home(ctx)


def down(ctx: Context) -> Outcome:
    """Stop the trainer with a checkpoint, bring home what is there, destroy. Repeatable."""
    with notices.announced(ctx):
        return _down(ctx)


def _down(ctx: Context, *, for_another: bool = False) -> Outcome:
    """Take a run down; where it goes on with another machine, one stays whose work has no room on the disk here."""
    with locked(ctx.run):
        if ctx.run.is_plan:
            ctx.view.line(f"{ctx.run.run_id} is a plan that was never started: there is nothing to take down")
            return Outcome(ctx.run)
        is_told = ctx.state.outcome is not None or not has_its_work(ctx)
        if ctx.state.is_done("destroy") and ctx.run.receipt.exists() and is_told:
            _look_again(ctx)
            guarding.let_go(ctx)
            ctx.view.line(f"run {ctx.run.run_id} is down already")
            return Outcome(ctx.run)
        ended = has_its_work(ctx)
        if not ended:
            status = status_or_none(ctx)
            is_lost = status.state == "none" and not for_another
            ended = has_come_home(ctx) if is_lost else status.state == "exited" and status.exit_code == 0
        why = "run: to go on with another machine" if for_another else "run: taken down on request"
        error = None if ended else RunInterruptedError(why, resolution="go on with `make resume`")
        finished = finish(ctx, error, may_stay=for_another)
        return replace(finished, error=None if finished.error is error else finished.error)


def _look_again(ctx: Context) -> None:
    """Look for a run that has a receipt: that says what was seen then, and by whoever had the key then."""
    if not ctx.environment.bills:
        return
    try:
        end_by_mark(ctx, outcome_unknown=False)
    except TeardownError as err:
        if not isinstance(err.__cause__, NotConfiguredError):
            raise
        ctx.view.line(f"{err.__cause__.message}, so its account was not looked at again; the receipt is of before")


@contextmanager
def _begun(ctx: Context) -> Iterator[None]:
    """Drive a run alone; a plan is a run from here on, before anything of it can exist."""
    with locked(ctx.run):
        guarding.begin(ctx, rents=True)
        begin_run(ctx.run)
        yield


def _whole_life(ctx: Context, planned: Plan | None, *, detach: bool) -> Outcome:
    if planned is not None:
        record_again(ctx, planned)
        storing.fetch_past(ctx)
    ctx.stop.check()
    host = step(ctx, "provision", lambda: provision.provision(ctx))
    with lease.kept(ctx, host):
        ctx.stop.check()
        step(ctx, "configure", lambda: configure.configure(ctx, host))
        ctx.stop.check()
        has_checkpoint = step(ctx, "stage", lambda: stage.stage(ctx, host, resume=planned is not None))
        ctx.stop.check()
        if not detach:
            step(ctx, "train", lambda: _launch_and_follow(ctx, host, has_checkpoint))
            return Outcome(ctx.run)
    ctx.state.begin("train")
    train.launch(ctx, host, resume=has_checkpoint)
    leave_alone(ctx, host)
    return Outcome(ctx.run, running=True)


def _launch_and_follow(ctx: Context, host: Host, has_checkpoint: bool) -> None:
    train.launch(ctx, host, resume=has_checkpoint)
    _follow(ctx, host)


def _follow(ctx: Context, host: Host) -> None:
    with coming_home(ctx, host) as look_for_it:
        train.follow(ctx, host, on_saved=look_for_it)


def _from_training(ctx: Context) -> Outcome:
    host = _host(ctx)
    with lease.kept(ctx, host):
        step(ctx, "train", lambda: _follow(ctx, host))
    return Outcome(ctx.run)


def _guarded(ctx: Context, life: Callable[[], Outcome]) -> Outcome:
    """Live, then finish: after success, a failure, a signal, and after a defect of our own as well."""
    try:
        outcome = life()
    except (RunInterruptedError, ToolCancelledError) as err:
        is_left = ctx.stop.leaving and not ctx.stop.requested
        if is_left and _may_be_left(ctx):
            left = _left_alone(ctx, is_held=_hold_if_possible(ctx))
            if isinstance(left, TeardownError):
                notices.ended(ctx, left)  # nobody sees the terminal
            return Outcome(ctx.run, left, running=True)
        why = f"run: the terminal was closed before anything trained ({err.message})" if is_left else err.message
        return finish(ctx, RunInterruptedError(why, resolution=f"continue with {_again(ctx)}", details=err.details))
    except RunnerError as err:
        return finish(ctx, err, may_stay=True)
    except OSError as err:
        return left_for_want_of_room(ctx, err) or finish(ctx, disk_error(ctx, err), may_stay=True)
    except BaseException:  # a defect of ours: reported, but the machine is terminated first
        worst = finish(ctx, _defect(ctx)).error
        if isinstance(worst, TeardownError):
            raise worst from None
        raise
    return outcome if outcome.running else finish(ctx, None, may_stay=True)


def _defect(ctx: Context) -> RunnerError:
    hint = f"see {ctx.run.file('logs')}; `make resume RUN={ctx.run.run_id}` continues the run"
    return RunnerError("run: the runner has a defect", resolution=hint)


def _may_be_left(ctx: Context) -> bool:
    """Return whether the run goes on by itself: a rented machine that does not train yet only costs money."""
    return "train" in ctx.state.steps or not ctx.environment.bills


def _hold_if_possible(ctx: Context) -> bool:
    """Return whether the run's machine knows that it goes on without a runner."""
    host = ctx.host()
    try:
        if host is not None:
            leave_alone(ctx, host)
    except RunnerError as err:
        ctx.view.line(err.message)
        return False
    return True


def _left_alone(ctx: Context, *, is_held: bool) -> RunnerError:
    if not is_held:
        return TeardownError(
            f"run: the terminal was closed, and the machine of {ctx.run.run_id} could not be told to go on: it trains "
            "until its lease ends at the latest",
            resolution=f"come back with `make watch RUN={ctx.run.run_id}` soon, or end it with "
            f"`make down RUN={ctx.run.run_id}`",
        )
    return LeftUpError(
        f"run: the terminal was closed; {ctx.run.run_id} continues without a runner",
        resolution=f"come back with `make watch RUN={ctx.run.run_id}`",
    )


def _host(ctx: Context) -> Host:
    host = ctx.host()
    if host is None:
        raise UsageError(f"run: {ctx.run.run_id} has no machine yet", resolution=f"make one with {_again(ctx)}")
    return host


def _last_step(ctx: Context) -> str:
    steps = ctx.state.steps
    return list(steps)[-1] if steps else "nothing"


def _again(ctx: Context) -> str:
    return f"`make resume RUN={ctx.run.run_id}`"
