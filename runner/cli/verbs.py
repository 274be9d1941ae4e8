"""What each verb of the command line does, one function each."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.adapters.packages import provide
from runner.cli.consent import Consent, ask_to_rent, may_close
from runner.cli.session import Session, needed_host, say_where
from runner.cli.unproved import billing_words
from runner.cloud_api.labels import RUN_ID
from runner.context import Context
from runner.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_LEFTOVERS,
    RunLockedError,
    RunNotFoundError,
    TeardownError,
    ToolError,
)
from runner.lifecycle import drive as lifecycle
from runner.lifecycle import lease
from runner.lifecycle.by_mark import terminate_unread
from runner.lifecycle.finish import Outcome
from runner.lifecycle.left_alone import leave_alone, say_how_it_stands, say_what_is_up
from runner.lifecycle.standing import refuse_ending
from runner.lifecycle.step import step
from runner.run.events import read_event
from runner.run.host_words import one_line, printable
from runner.run.models import Host
from runner.run.planned import PLAN_NAME
from runner.run.run_dir import RunDir, is_named, list_runs, list_traces
from runner.run.state import holder, locked
from runner.safety.asked import DAMAGE, close
from runner.safety.lease_word import word_or_noted
from runner.store import run_store as storing
from runner.world import Entry, World

BILLED = ("instance", "volume", "address")
"""Kinds that cost money whether or not the cloud reports their price."""
MOST_LOG_BYTES = 16 << 20
"""So much of a log is read from a machine; one that writes without end is cut."""
STOP_WAIT_S = 900.0
"""How long ``down`` waits for a living runner to stop, save, collect and destroy."""


def train(session: Session) -> int:
    """Take a new run through its whole life."""
    session.listen()
    ctx = lifecycle.new_run(session.run_file(), session.runs_dir, session.view, session.stop, session.world)
    session.take(ctx.run)
    ask_to_rent(ctx, yes=session.arguments.yes)
    return session.finish(lifecycle.drive(ctx, detach=session.arguments.detach))


def plan(session: Session) -> int:
    """Check a run file; the run folder with the plan stays for a look."""
    session.listen()
    ctx = lifecycle.new_run(
        session.run_file(), session.runs_dir, session.view, session.stop, session.world, is_dry=True
    )
    if session.arguments.json:
        print(ctx.run.file(PLAN_NAME).read_text(encoding="utf-8"), end="")
    session.view.line(f"nothing was started; start it with `make resume RUN={ctx.run.run_id}`")
    return EXIT_DONE


def up(session: Session) -> int:
    """Plan and provision; the machine stays up."""
    session.listen()
    ctx = lifecycle.new_run(session.run_file(), session.runs_dir, session.view, session.stop, session.world)
    session.take(ctx.run, "provision")
    ask_to_rent(ctx, yes=session.arguments.yes)
    outcome = lifecycle.up(ctx)
    if outcome.error is not None:
        return session.finish(outcome)
    say_what_is_up(ctx, needed_host(ctx), has_lease=False)
    session.view.line(f"the machine is up; terminate it with `make down RUN={ctx.run.run_id}`")
    return EXIT_DONE


def configure(session: Session) -> int:
    """Prepare the machine of a run."""
    from runner.lifecycle.steps.configure import configure as prepare

    session.listen()
    ctx = session.context()
    host = needed_host(ctx)
    refuse_ending(ctx)
    with locked(ctx.run), _kept_and_left(ctx, host):
        step(ctx, "configure", lambda: prepare(ctx, host))
    return EXIT_DONE


def launch(session: Session) -> int:
    """Stage, start training, leave."""
    from runner.lifecycle.steps import stage as staging
    from runner.lifecycle.steps import train as training

    session.listen()
    ctx = session.context()
    host = needed_host(ctx)
    refuse_ending(ctx)
    with locked(ctx.run), _kept_and_left(ctx, host):
        lease.refuse_over(ctx, host)
        has_checkpoint = step(ctx, "stage", lambda: staging.stage(ctx, host, resume=True))
        ctx.state.begin("train")
        training.launch(ctx, host, resume=has_checkpoint)
    session.view.line(f"training continues; follow it with `make watch RUN={ctx.run.run_id}`")
    return EXIT_DONE


@contextlib.contextmanager
def _kept_and_left(ctx: Context, host: Host) -> Iterator[None]:
    """Keep a machine that idles through a step done by hand, and leave it up after that, whatever happened."""
    try:
        with lease.kept(ctx, host):  # whoever watches over it hears that somebody came
            yield
    finally:
        leave_alone(ctx, host)  # else a failure would be the end of a machine that is up on purpose


def collect(session: Session) -> int:
    """Bring home what there is by now."""
    from runner.lifecycle.steps.collect import collect as bring_home

    session.listen()
    ctx = session.context()
    host = needed_host(ctx)
    with locked(ctx.run):
        came = step(ctx, "collect", lambda: bring_home(ctx, host, with_checkpoints=True))
        storing.copy_home(ctx, came)
    session.view.line(f"came home: {', '.join(came) or 'nothing'}")
    say_how_it_stands(ctx, host)
    return EXIT_DONE


def down(session: Session) -> int:
    """Stop a run in order, whoever drives it, and destroy."""
    run = _run_to_end(session)
    pid = holder(run)
    if pid:
        session.view.line(f"asking the runner (pid {pid}) to stop")
        session.world.signal(pid, signal.SIGTERM)
        _wait_for_runner(run, session.world)
    session.listen()
    try:
        outcome = lifecycle.down(session.context())
    except TeardownError as err:
        outcome = Outcome(run, err)
    except RunLockedError:
        raise
    except Exception as err:
        raise terminate_unread(run, session.world, session.view, err) from err
    worst = outcome.error
    if session.arguments.close and isinstance(worst, TeardownError) and may_close(run.run_id, worst.message):
        close(run)
        session.view.line(f"run {run.run_id} is closed; nothing was terminated, and there is no receipt")
        return EXIT_DONE
    return session.finish(outcome)


def _run_to_end(session: Session) -> RunDir:
    """Return the run to take down: one whose folder is damaged, or no longer exists, is named by its id alone."""
    run_id = _id_to_end(session)
    try:
        return session.run(run_id)
    except (RunNotFoundError, OSError) as err:
        if run_id is None or not RUN_ID.match(run_id):
            raise
        run = RunDir(session.runs_dir / run_id, session.world)
        raise terminate_unread(run, session.world, session.view, err) from err


def _id_to_end(session: Session) -> str | None:
    """Return the id of the run to take down, the latest's where none is given, whatever is missing in its folder."""
    given: str | None = session.arguments.run
    try:
        found = list_traces(session.runs_dir, session.world)
    except OSError:
        return given
    named = found[-1:] if given is None else [run for run in found if is_named(given, run)]
    return named[0].run_id if len(named) == 1 else given


def resume(session: Session) -> int:
    """Continue a run from where it is, on the same or on another machine."""
    from runner.run.run_file import run_file_mapping
    from runner.run.run_file import with_settings as changed

    session.listen()
    ctx = session.context()
    run_file = changed(
        ctx.run_file,
        overrides=session.arguments.set,
        settings=session.machine_settings(),
        folder=session.world.folder,
    )
    same = run_file_mapping(run_file) == run_file_mapping(ctx.run_file)
    outcome = lifecycle.resume(
        ctx.run,
        None if same else run_file,
        session.view,
        session.stop,
        session.world,
        consent=Consent(session.arguments.yes),
        detach=session.arguments.detach,
    )
    return session.finish(outcome)


def watch(session: Session) -> int:
    """Look on; drive the run to its end if nobody does."""
    ctx = session.context()
    if holder(ctx.run) is not None:
        _look_on(ctx)
        return _report_outcome(ctx, session)
    if ctx.state.is_done("destroy"):
        return _report_outcome(ctx, session)
    session.listen()
    session.view.line(f"the runner of {ctx.run.run_id} is gone; driving the run to its end")
    return session.finish(lifecycle.watch(ctx))


def sync(session: Session) -> int:
    """Bring a run's checkpoints to the store or from it."""
    from runner.lifecycle.sync import sync_home, sync_machine

    session.listen()
    ctx = session.context()
    host = ctx.host_up()
    if host is None:
        sync_home(ctx, session.arguments.direction)
    else:
        sync_machine(ctx, host, session.arguments.direction)
        say_how_it_stands(ctx, host)
    return EXIT_DONE


def status(session: Session) -> int:
    """Say how a run stands, and what is billing on every configured cloud."""
    from runner.cli.overview import billing_now, resource_line, status_of
    from runner.report.wording import machine_words

    known, unlisted = session.traces()
    there = session.arguments.run is not None or bool(known)
    resources, unread = billing_now(session.world, known)
    unread |= unlisted
    found: dict[str, Any] = {}
    trouble: Exception | None = None
    try:
        found = status_of(session.context()) if there or not (resources or unread) else {}
    except DAMAGE as err:  # what bills is said all the same
        trouble = err
    if session.arguments.json:
        billing = [dataclasses.asdict(resource) for resource in resources]
        print(json.dumps(found | {"billing": billing, "clouds_not_read": unread}, indent=2, default=str))
        return _status(unread, trouble)
    keys = (
        "run",
        "env",
        "state",
        "guard",
        "trainer",
        "step",
        "max_steps",
        "loss",
        "eval_loss",
        "checkpoint",
        "message",
    )
    for key in (*keys, *(("cost_usd",) if found.get("cost_usd") else ())):
        if found.get(key) is not None:
            print(f"{key:12} {one_line(str(found[key]))}")
    for machine in found.get("machines", ()):
        print(f"{'machine':12} {one_line(machine_words(machine))}")
    for reason in found.get("cost_unknown", ()):
        print(f"{'unknown':12} {one_line(reason)}")
    for resource in resources:
        costs = resource.kind in BILLED or resource.price_usd_per_h
        print(f"{'billing' if costs else 'is there':12} {resource_line(resource)}")
    for name, reason in unread.items():
        print(f"{'unknown':12} {name}: something may be billing that was not seen: {reason}")
    return _status(unread, trouble)


def _status(unread: Mapping[str, str], trouble: Exception | None) -> int:
    """Return the exit status of a look; what is unknown of money comes before what is wrong with a folder."""
    if unread:
        return EXIT_LEFTOVERS
    if trouble is not None:
        raise trouble
    return EXIT_DONE


def notify_test(session: Session) -> int:
    """Send a notice to everybody who gets those of a run file, or of a run, and say where it arrived."""
    from runner.cli.notify import send_test

    given = session.arguments.run
    run_file = session.run_file() if given is None else session.context().run_file
    session.view.line("sending a notice to everybody, for some seconds")
    return EXIT_DONE if send_test(run_file.notices, session.world) else EXIT_FAILED


def runs(session: Session) -> int:
    """Show all runs in a table."""
    if session.arguments.json:
        from runner.cli.overview import table

        print(json.dumps(table(list_runs(session.runs_dir, session.world)), indent=2))
        return EXIT_DONE
    from runner.report.run.collect import read_run
    from runner.report.run.table import print_runs

    found = list_runs(session.runs_dir, session.world)
    if not found:
        print(f"no runs in {session.runs_dir} yet; start one with `make train`")
        return EXIT_DONE
    print_runs([read_run(run) for run in found])
    return EXIT_DONE


def costs(session: Session) -> int:
    """Show the ledger: what was estimated of each finished run beside what it took and cost."""
    from runner.planning.estimate.ledger import read_ledger
    from runner.report.run.costs import print_costs, print_month, print_wasted, to_mapping

    found = list_runs(session.runs_dir, session.world)
    billed = _ask_for_bills(found, session) if session.arguments.bill else {}
    rows = sorted(read_ledger(found, is_emulated=None), key=lambda row: row.run_id)
    if session.arguments.json:
        print(json.dumps([to_mapping(row) for row in rows], indent=2))
    elif rows:
        print_costs(rows)
    else:
        print(f"no run in {session.runs_dir} has succeeded yet; start one with `make train`")
    if not session.arguments.json:
        traces, now = session.traces()[0], session.world.now()
        print_month(traces, now)
        print_wasted(traces, now)
        for run_id, words in billed.items():
            print("\n".join(f"{run_id}  {one_line(one)}" for one in words))
    return EXIT_DONE


def _ask_for_bills(found: Sequence[RunDir], session: Session) -> dict[str, list[str]]:
    """Ask the clouds for the bills of all runs, those that failed as well; return them in words, by run."""
    from runner.lifecycle.vendor_bill import ask_for_bills
    from runner.report.run.bills import bill_words

    billed: dict[str, list[str]] = {}
    for run in found:
        try:
            receipt = ask_for_bills(run, session.world)
        except DAMAGE as err:
            billed[run.run_id] = [f"its folder cannot be read ({err})"]
            continue
        billed[run.run_id] = bill_words(receipt)
    return {run_id: words for run_id, words in billed.items() if words}


def logs(session: Session) -> int:
    """Print the trainer's log and those of the steps."""
    ctx = session.context()
    logs = [entry for entry in ctx.run.logs.entries() if entry.name.endswith(".log") and entry.name != "trainer.log"]
    for log in sorted(filter(Entry.size_bytes, logs), key=Entry.changed_at):
        print(f"==> {log}\n{printable(log.read_text(errors='replace')).rstrip()}")
    print(f"==> trainer.log\n{printable(_trainer_log(ctx)).rstrip()}")
    return EXIT_DONE


def report(session: Session) -> int:
    """Write the report again and show the short of it."""
    from runner.report.run.collect import read_run
    from runner.report.run.page import write_report
    from runner.report.run.table import show

    run = session.run()
    provide("pages", session.view.line)
    write_report(run)
    show(read_run(run))
    return EXIT_DONE


def data_check(session: Session) -> int:
    """Check the data and show what it holds."""
    from runner.planning.checks.reading import check_data
    from trainer.data.progress import Bar

    shown, bar = sys.stdout.isatty(), Bar(sys.stderr)
    print(check_data(session.run_file(), session.stop, session.world, bar, colour=shown).rstrip())
    return EXIT_DONE


def schema(session: Session) -> int:
    """Print the JSON Schema of the run file, or the page that describes it."""
    from runner.cli.run_file_docs import reference_page, schema_text

    print(reference_page() if session.arguments.markdown else schema_text(), end="")
    return EXIT_DONE


def _wait_for_runner(run: RunDir, world: World) -> None:
    deadline = world.monotonic_s() + STOP_WAIT_S
    while (pid := holder(run)) is not None:
        if world.monotonic_s() > deadline:
            raise ToolError(
                f"down: the runner of {run.run_id} does not stop",
                resolution=f"kill it with `kill -9 {pid}`, then run `make down RUN={run.run_id}` again",
            )
        world.sleep(0.2)


def _look_on(ctx: Context) -> None:
    """Show the events as the living runner brings them home; change nothing."""
    shown = 0
    while True:
        alive = holder(ctx.run) is not None
        data = ctx.run.events.read_or_nothing()
        whole = data.rfind(b"\n") + 1
        for line in data[shown:whole].splitlines():
            event = read_event(line)  # a half line is what a killed trainer left
            if event is not None:
                ctx.view.event(event)
        shown = whole
        if not alive:
            return
        ctx.world.sleep(0.5)


def _report_outcome(ctx: Context, session: Session) -> int:
    run, outcome = ctx.run, ctx.state.outcome
    say_where(run, session.view)
    session.view.line(f"run {run.run_id}: {outcome or 'not over'}")
    bills = billing_words(run)
    for words in bills:
        session.view.line(f"bills        {words}; terminate it with `make down RUN={run.run_id}`")
    if _is_held(run) or (outcome is None and not ctx.environment.rents_machine):
        return EXIT_DONE if outcome in ("done", None) else EXIT_FAILED
    if outcome is None and not bills:
        session.view.line(f"its runner was killed before the end; end it with `make down RUN={run.run_id}`")
    if bills:
        return EXIT_LEFTOVERS
    return EXIT_DONE if outcome == "done" else EXIT_FAILED


def _is_held(run: RunDir) -> bool:
    """Return whether the machine of a run goes on without a runner on purpose."""
    try:
        word = word_or_noted(run)
    except DAMAGE:
        return False
    return word is not None and word[0] == "hold"


def _trainer_log(ctx: Context) -> str:
    host = ctx.host_up()
    if host is None:
        log = ctx.run.logs / "trainer.log"
        return log.read_text(errors="replace") if log.exists() else "(none yet)"
    machine = ctx.machine(host)
    try:
        name, parts, offset = f"{ctx.box(host, machine).output}/trainer.log", [], 0
        while offset < MOST_LOG_BYTES and (chunk := machine.read_from(name, offset)):
            parts.append(chunk)
            offset += len(chunk)
        return b"".join(parts).decode(errors="replace") or "(none yet)"
    finally:
        machine.close()
