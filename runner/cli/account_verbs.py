"""What the verbs do that look beyond one run: at whole accounts, at rented machines, at emulated clouds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from runner.adapters.packages import provide
from runner.adapters.process import become
from runner.cli.consent import ask_to_rent
from runner.cli.session import Session, needed_host
from runner.cloud_api.environment import NotThere, PriceRules
from runner.clouds.environments import ENVIRONMENTS, find_environment
from runner.clouds.registry import (
    CLOUDS,
    accounts,
    configured,
    endpoint_of,
    gpuhunt_names,
    how_to_configure,
    open_cloud,
)
from runner.errors import EXIT_DONE, EXIT_LEFTOVERS, RunnerError, TeardownError, ToolError, UsageError, counted
from runner.lifecycle import drive as lifecycle
from runner.run.run_dir import list_runs
from runner.safety.patience import patience_of

if TYPE_CHECKING:
    from runner.run.run_dir import RunDir
    from runner.safety.account_sweep import Survey
    from runner.world import World


LATE = "{run} has asked {cloud} for a machine and was not answered: one may yet appear"


def sweep(session: Session) -> int:
    """Show all Douse resources on every configured cloud; with ``--apply``, terminate what no run is using."""
    from runner.cli.overview import resource_line
    from runner.safety.account_sweep import SweepError, end, is_surely_ours, survey
    from runner.safety.sweeps_seen import note_sweep

    known = accounts(session.world)
    clouds, closed = known.opened, known.closed
    runs, unlisted = session.traces()
    found = survey(clouds, runs, session.world.now(), closed=closed, guarded=_is_guarded)
    found = replace(found, unread={**found.unread, **known.unreadable, **unlisted})
    if not clouds and not found.not_looked_at:
        raise UsageError("sweep: no cloud is configured, so there is nothing to check", resolution=how_to_configure())
    _show(found, closed)
    doomed = [
        one for one in found.findings if one.abandoned or (session.arguments.all and is_surely_ours(one.resource))
    ]
    ended, trouble = [], None
    if session.arguments.apply:
        try:
            ended = end(clouds, doomed, session.world.sleep, patience_of(session.world.environ))
        except SweepError as err:
            ended, trouble = list(err.ended), err
    for resource in ended:
        print(f"{'terminated':12} {resource_line(resource)}")
    read = [cloud.name for cloud in clouds if cloud.name not in found.unread]
    if session.arguments.apply and trouble is None:
        note_sweep(session.runs_dir, read, session.world)
    names = ", ".join(read)
    left = len(found.findings) - len(ended)
    print(f"{counted(left, 'Douse resource')} on {names or 'no cloud that could be read'}")
    if trouble is not None:
        for problem in _open_questions(found, closed):
            print(f"{'unknown':12} {problem}")
        raise trouble
    if not found.is_complete:
        raise _incomplete(found, closed)
    abandoned = any(finding.abandoned for finding in found.findings)
    return EXIT_LEFTOVERS if abandoned and not session.arguments.apply else EXIT_DONE


def _is_guarded(run: RunDir) -> bool:
    from runner.guard.place import living_guard

    return living_guard(run.run_id, run.world) is not None


def _show(found: Survey, closed: Mapping[str, str]) -> None:
    """Print what exists and what becomes of it, what was not looked at, and which clock is wrong."""
    from runner.cli.overview import resource_line

    for finding in found.findings:
        mark = "abandoned" if finding.abandoned else "in use" if finding.is_judged else "unknown"
        print(f"{mark:12} {resource_line(finding.resource)}: {finding.reason}")
    for name, reason in closed.items():
        print(f"{'not asked':12} {name}: {reason}")
    for name, off in found.clocks.items():
        print(f"{'clock':12} {_clock_words(name, off)}")


def _clock_words(cloud: str, off: timedelta) -> str:
    """Return what is wrong with this computer's clock, or with the cloud's, which is ahead of it by ``off``."""
    minutes, way = round(abs(off) / timedelta(minutes=1)), "slow" if off > timedelta() else "fast"
    return f"this computer's is {minutes} min {way} by that of {cloud}, which counts for what is there: set it right"


def _open_questions(found: Survey, closed: Mapping[str, str]) -> list[str]:
    """Return why a look leaves open what exists."""
    problems = [f"{name} could not be read: {reason}" for name, reason in found.unread.items()]
    problems += [
        f"{runs[-1]} has rented on {name} and has no receipt, and {closed.get(name, 'this is another account')}"
        for name, runs in found.not_looked_at.items()
    ]
    problems += [LATE.format(run=runs[-1], cloud=name) for name, runs in found.late.items()]
    unjudged = [f"{one.resource.kind} {one.resource.id}: {one.reason}" for one in found.findings if not one.is_judged]
    return [*problems, *unjudged]


def _incomplete(found: Survey, closed: Mapping[str, str]) -> TeardownError:
    """Return the error for a look that leaves open what exists."""
    problems = _open_questions(found, closed)
    hints = [f"set {CLOUDS[name].account_words}" for name in found.not_looked_at]
    hints += [f"`make down RUN={name}`" for names in found.late.values() for name in names]
    return TeardownError(
        f"sweep: {'; '.join(problems)}",
        details="\n".join(problems),
        resolution=f"{' and '.join([*hints, 'run `make sweep` again'])}, or check the cloud's console",
    )


def compare(session: Session) -> int:
    """Lay every platform side by side for this run, cheapest first; nothing is asked and nothing is written."""
    import json

    from runner.planning.checks.reading import task_of
    from runner.planning.compare import compare as lay_out
    from runner.planning.estimate.ledger import read_ledger
    from runner.report.comparison import show, to_mapping

    task = task_of(session.run_file(), session.stop, session.world)
    lines = lay_out(task, session.world.now().date(), read_ledger(list_runs(session.runs_dir, session.world)))
    budget_usd = session.arguments.budget or task.run_file.budget.max_usd
    if session.arguments.json:
        print(json.dumps([to_mapping(line, budget_usd) for line in lines], indent=2))
    else:
        print(show(lines, budget_usd))
    return EXIT_DONE


def prices(session: Session) -> int:
    """Ask every configured cloud for its prices and write them into the price lists, each whole or not at all."""
    from runner.prices.refresh import gpuhunt_offers, refresh, split_by_list

    clouds = [cloud for cloud in configured(session.world) if session.arguments.env in (None, cloud.name)]
    source = "gpuhunt's catalogue" if session.arguments.gpuhunt else None
    names = [session.arguments.env] if source and session.arguments.env else [cloud.name for cloud in clouds]
    if not names:
        raise UsageError(
            "prices: there is no account to ask", resolution="set a cloud's key as for `make train`: docs/clouds/"
        )
    failed: list[str] = []
    for name in names:
        try:
            extra = None if source else CLOUDS[name].extra
            if isinstance(extra, str):
                provide(extra, session.view.line)
            listed = gpuhunt_offers(name, gpuhunt_names()) if source else open_cloud(name, session.world).offers("any")
            rules = CLOUDS[name].prices if name in CLOUDS else PriceRules()
            for list_name, offers in split_by_list(name, listed).items():
                found = refresh(list_name, offers, session.world.now().date(), rules, source=source)
                kept = f", {found.kept} of them as they were" if found.kept else ""
                print(f"{list_name:16} {found.rows_before} rows before, {found.rows_after} now{kept}: {found.path}")
        except RunnerError as err:
            failed.append(f"{name}: {err.message}")
    for name in [] if source else names:
        _show_what_moved(name, session.world)
    if failed:
        raise ToolError(
            "prices: " + "; ".join(failed),
            resolution="run `make prices ENV=<cloud>` again for these; the others are updated",
        )
    return EXIT_DONE


def _show_what_moved(name: str, world: World) -> None:
    """Show where a vendor's published API differs from what its client here reads; an emulated cloud has no vendor."""
    from runner.cloud_api.published import what_moved
    from runner.planning.estimate.finished_run import is_emulated

    published = CLOUDS[name].published
    if isinstance(published, NotThere) or is_emulated(endpoint_of(name, world.environ)):
        return
    for line in what_moved(published, world):
        print(f"{name:16} API: {line}")


def rehearse(session: Session) -> int:
    """Rehearse a run against an emulated cloud with real machines: the same steps, for nothing."""
    from runner.rehearsal.drive import Rehearsal, describe, new_folder
    from runner.rehearsal.drive import rehearse as act

    arguments = session.arguments
    if arguments.env is None or not find_environment(arguments.env).bills:
        raise UsageError(
            f"rehearse: ENV is {arguments.env or 'not given'}, and only what is rented can be rehearsed",
            resolution=f"choose one: ENV={'|'.join(name for name, found in ENVIRONMENTS.items() if found.bills)}",
        )
    session.listen()
    words = ["--config", str(arguments.config)]
    words += [] if arguments.data is None else ["--data", str(arguments.data)]
    words += [word for setting in arguments.set for word in ("--set", setting)]
    folder = new_folder(arguments.folder)
    session.log = folder / "rehearse.log"
    rehearsal = Rehearsal(
        arguments.env,
        words,
        arguments.faults,
        arguments.afterwards,
        folder,
        verb=arguments.rehearsed,
        hub=arguments.hub,
        others=[name for name in session.run_file().compute.recover_on if name in CLOUDS],
        store=arguments.store,
    )
    verdict = act(rehearsal, session.view, session.stop)
    print(describe(verdict, arguments.json))
    if verdict.broken:
        raise ToolError(
            f"rehearse: {verdict.broken[0]}",
            details="\n".join(verdict.broken),
            resolution=f"see {folder}; this run would have cost money, or lost work",
        )
    return EXIT_DONE if arguments.faults else verdict.exit_code


def rehearse_clean(session: Session) -> int:
    """End whatever a rehearsal left that was itself killed: machines, networks, mounts, processes."""
    from runner.emulation.boxes import clean

    ended = clean()
    for name in ended:
        session.view.line(f"ended {name}")
    session.view.line(f"{counted(len(ended), 'leftover')} of dead rehearsals removed")
    return EXIT_DONE


def rebuild(session: Session) -> int:
    """Build the environment twice, each time on a fresh machine, and show that both are the same."""
    from runner.lifecycle.rebuild import compare

    session.listen()
    run_file, built = session.run_file(), []
    for number in (1, 2):
        session.view.line(f"build {number} of 2")
        ctx = lifecycle.new_run(run_file, session.runs_dir, session.view, session.stop, session.world)
        session.take(ctx.run)
        ask_to_rent(ctx, yes=session.arguments.yes)
        outcome = lifecycle.build(ctx)
        if outcome.error is not None:
            return session.finish(outcome)
        built.append(outcome.run)
    found = compare(*built)
    for number, digest in enumerate(found.digests, start=1):
        session.view.line(f"environment {number}  {digest}")
    if not found.equal:
        raise ToolError(
            f"rebuild: the two environments differ: {(found.differences or ['in their digests alone'])[0]}",
            details="\n".join(found.differences),
            resolution="one lock must give one environment: compare host_facts.json of both runs; `make lock`",
        )
    session.view.line("both are the same")
    return EXIT_DONE


def ssh(session: Session) -> int:
    """Log in to the machine of a run."""
    from runner.cli.login import ssh_argv

    ctx = session.context()
    become(ssh_argv(ctx, needed_host(ctx)))


def tensorboard(session: Session) -> int:
    """Show the TensorBoard of a run's machine here, until Ctrl-C."""
    from runner.cli.login import tensorboard_argv

    ctx = session.context()
    argv, address = tensorboard_argv(ctx, needed_host(ctx))
    session.view.line(f"TensorBoard: {address} (Ctrl-C closes the view; the run continues)")
    become(argv)
