"""A rehearsal: the very command a user would give, against emulated clouds with real machines, for nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runner.adapters.stop import Stop
from runner.emulation.boxes import build_tree, supported, why_no_logins
from runner.emulation.cache import warm_cache
from runner.emulation.fault_table import INSIDE
from runner.emulation.faults import FaultQueue
from runner.emulation.s3.manners import MANNERS
from runner.errors import UsageError
from runner.guard.place import end_guard
from runner.rehearsal.at_step import AT_STEP, SUFFIX
from runner.rehearsal.emulators import Emulators
from runner.rehearsal.faults import DETACHED, STUCK, TWINS, CloudFault, HomeFault, RunnerFault, parse_faults
from runner.rehearsal.footprint import changes, footprint
from runner.rehearsal.services import account_of_stores, emulated_clouds, known_faults
from runner.rehearsal.store import STORES, check_store_name, provide_store
from runner.rehearsal.twin import Twin, runs_of_twin
from runner.rehearsal.user import User
from runner.rehearsal.verdict import Verdict, judge
from runner.run.models import View
from runner.run.run_dir import list_runs
from runner.world import RealWorld

WITHOUT_RECEIPT = ("nothing", "sweep")
"""What terminates a machine without the run's own teardown, and so without its receipt."""
AFTERWARDS = ("down", *WITHOUT_RECEIPT, "resume", "watch", "status")
SIMULATED = (
    "compute.gpu_required=false",
    "compute.min_gpu_memory_gib=0",
    "compute.ssh_ingress_cidrs=[10.77.0.0/16]",
)
"""What differs from a paid run: the boxes have no GPU, and this machine's address is one of their own network."""


@dataclass(frozen=True)
class Rehearsal:
    """What to rehearse.

    Attributes:
        environment: The cloud.
        words: Options of the verb (run file, data, settings).
        faults: What is to go wrong, as ``FAULTS=`` has it.
        afterwards: What the user does when the runner was killed, one thing or several separated by commas: a verb, or
            ``nothing`` until the machine's own lease has ended it; ``sweep`` goes on as a schedule does.
        folder: Where all of it is kept.
        program: Module that is the command line.
        verb: What the user does: ``train`` or ``rebuild``.
        before_close: Called when all is over and judged, while the emulated cloud still answers.
        hub: Folder of what an emulated Hub has, or ``None`` for no Hub.
        others: Other clouds to serve, on which the run may go on (``compute.recover_on``).
        store: One of ``store.STORES``, or ``None`` for what the run file has.
        settings: Durations and quotas of the emulated clouds, as ``CLOUD.NAME=NUMBER``.
    """

    environment: str
    words: Sequence[str]
    faults: str
    afterwards: str
    folder: Path
    program: str = "runner"
    verb: str = "train"
    before_close: Callable[[Emulators], None] | None = None
    hub: Path | None = None
    others: Sequence[str] = ()
    store: str | None = None
    settings: Sequence[str] = ()


def new_folder(root: Path) -> Path:
    """Return a folder of its own for a rehearsal."""
    return root.resolve() / f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"[:-3]


def rehearse(rehearsal: Rehearsal, view: View, stop: Stop) -> Verdict:
    """Rehearse a run from start to end and judge what it left.

    Raises:
        UsageError: If a fault is not known, or cannot happen on this cloud or on this machine; or if a word of
            ``afterwards`` is not known.
        ToolError: If the emulated cloud does not come up.
        RunInterruptedError: On Ctrl-C; nothing is left.
    """
    cloud_faults, runner_faults, home_faults = parse_faults(rehearsal.faults)
    afterwards = _afterwards(rehearsal.afterwards)
    check_store_name(rehearsal.store)
    _check_stored(rehearsal, runner_faults)
    _check_detaching(rehearsal, home_faults)
    _check_other_runs(rehearsal, afterwards)
    has_real_boxes = _has_real_boxes(rehearsal, view)
    _check_possible(rehearsal.environment, runner_faults, has_real_boxes=has_real_boxes)
    _prepare(rehearsal, view, has_real_boxes=has_real_boxes)
    others = [name for name in rehearsal.others if name != rehearsal.environment]
    is_stuck = any(fault.action == STUCK for fault in home_faults)
    stuck_on = [_another_cloud(rehearsal.environment, others)] if is_stuck else []
    clouds = Emulators(
        rehearsal.environment,
        rehearsal.folder,
        rehearsal.hub,
        beside=_beside(rehearsal, [*others, *stuck_on]),
        store=rehearsal.store,
        settings=rehearsal.settings,
    )
    with clouds as emulators, _without_guards(rehearsal.folder):
        words = _words(rehearsal, rehearsal.environment, emulators)
        twin = Twin(rehearsal.program, emulators, words)
        user = User(rehearsal.program, emulators, view, stop, home_faults, twin)
        before = footprint(Path.home())
        with contextlib.closing(twin), contextlib.closing(user):
            for cloud in stuck_on:
                user.leave_stuck(cloud, _words(rehearsal, cloud, emulators))
            for fault in cloud_faults:
                emulators.send("/faults", fault.to_mapping(rehearsal.environment))
            exit_code = user.run(rehearsal.verb, words, runner_faults)
            user.broken += twin.broken(exit_code)
            is_over = exit_code >= 0 and not _killed(emulators, cloud_faults) and not user.is_left_up
            if not is_over:
                exit_code = user.after_the_kill(exit_code, afterwards)
            needs_receipt = is_over or not (user.is_folder_damaged or set(afterwards) <= set(WITHOUT_RECEIPT))
            verdict = judge(
                emulators,
                rehearsal.folder,
                exit_code,
                user.fired,
                [*runner_faults, *home_faults],
                needs_receipt=needs_receipt,
                broken=[*user.broken, *changes(before, footprint(Path.home()))],
            )
        if rehearsal.before_close is not None:
            rehearsal.before_close(emulators)
        return verdict


def _prepare(rehearsal: Rehearsal, view: View, *, has_real_boxes: bool) -> None:
    """Bring here what boxes and the store are made of."""
    provide_store(rehearsal.store)
    if has_real_boxes:
        view.progress("preparing the packages of the trainer")
        warm_cache()
        view.progress("preparing the machine's disk")
        build_tree()


def _words(rehearsal: Rehearsal, cloud: str, emulators: Emulators) -> list[str]:
    """Return the options of the verb on a cloud."""
    settings = (*SIMULATED, *emulators.settings())
    return ["--env", cloud, *(word for setting in settings for word in ("--set", setting)), *rehearsal.words]


def _beside(rehearsal: Rehearsal, others: Sequence[str]) -> list[str]:
    """Return the clouds beside the run's first one: others that are needed, and the account of the store."""
    wanted = {*others, *([account_of_stores()] if rehearsal.store in MANNERS else [])}
    return sorted(wanted - {rehearsal.environment})


def _check_possible(cloud: str, faults: Sequence[RunnerFault], *, has_real_boxes: bool) -> None:
    """Refuse what cannot happen to a machine of this cloud, as its emulator refuses what it cannot do.

    Raises:
        FaultRefusedError: If one of them cannot.
    """
    queue = FaultQueue(known_faults(), served=[cloud], has_real_boxes=has_real_boxes)
    for fault in faults:
        if fault.action in INSIDE or fault.action in AT_STEP:
            queue.add(fault.action.removesuffix(SUFFIX))


def _check_detaching(rehearsal: Rehearsal, faults: Sequence[HomeFault]) -> None:
    """Refuse to leave alone what cannot be.

    Raises:
        UsageError: If the verb is not one that can go on without its user.
    """
    if rehearsal.verb != "train" and any(fault.action in DETACHED for fault in faults):
        raise UsageError(
            f"rehearse: nobody can leave `make {rehearsal.verb}` alone", resolution="use detached_and_done with `train`"
        )


def _check_stored(rehearsal: Rehearsal, faults: Sequence[RunnerFault]) -> None:
    """Refuse faults that wait for a checkpoint in a store where there is none.

    Raises:
        UsageError: If one would never happen.
    """
    waiting = [fault.name for fault in faults if fault.step == "store"]
    if waiting and rehearsal.store is None:
        raise UsageError(
            f"rehearse: {waiting[0]} waits for a checkpoint in the store, and there is no store",
            resolution=f"serve one with STORE={'|'.join(STORES)}",
        )


def _check_other_runs(rehearsal: Rehearsal, afterwards: Sequence[str]) -> None:
    """Refuse faults that have to do with another run where nothing could be said of it in the end.

    Raises:
        UsageError: If a second run of the same second would meet other faults, or nobody sweeps.
    """
    names = [name.strip() for name in rehearsal.faults.split(",") if name.strip()]
    if TWINS in names and (len(names) > 1 or rehearsal.verb != "train"):
        raise UsageError(
            f"rehearse: {TWINS} goes with no other fault, and with `train` alone: nobody could say whom it hits",
            resolution=f"write FAULTS={TWINS}",
        )
    is_killed = any(name.startswith("kill_runner@") for name in names)
    if STUCK in names and not (is_killed and afterwards[-1] == "sweep"):
        raise UsageError(
            f"rehearse: {STUCK} is for a sweep: the runner has to be killed, and a sweep has to come last",
            resolution=f"write FAULTS=kill_runner@train,{STUCK} AFTERWARDS=sweep",
        )


def _another_cloud(name: str, others: Sequence[str]) -> str:
    """Return the first cloud that a sweep looks at, of those that the run does not use.

    Raises:
        UsageError: If it may use them all.
    """
    found = next((other for other in emulated_clouds() if other not in (name, *others)), None)
    if found is None:
        raise UsageError(
            f"rehearse: {STUCK} needs a cloud of its own, and the run may use every one",
            resolution="leave one out with SET=compute.recover_on=[]",
        )
    return found


@contextlib.contextmanager
def _without_guards(folder: Path) -> Iterator[None]:
    """End the guards of all runs after the block: one whose run was left alone on purpose would wait for its lease."""
    world = RealWorld()
    try:
        yield
    finally:
        for run in (run for runs in (folder / "runs", runs_of_twin(folder)) for run in list_runs(runs, world)):
            end_guard(run.run_id, world, ends_itself=False)


def _has_real_boxes(rehearsal: Rehearsal, view: View) -> bool:
    """Return whether boxes are machines of their own; else they are logins of this machine, and that is said.

    Raises:
        UsageError: If there can be neither.
    """
    reason = supported()
    if reason is None:
        return True
    clouds = emulated_clouds()
    reasons = (clouds[name].why_no_logins for name in (rehearsal.environment, *rehearsal.others))
    why_not = next(filter(None, reasons), None) or why_no_logins()
    if why_not is not None:
        raise UsageError(
            f"rehearse: this machine cannot boot machines of its own: {reason}; and {why_not}",
            resolution="see what it needs in docs/rehearsal.md",
        )
    view.line(f"the rented machine is a login of this one, with a home of its own: {reason}")
    return False


def _afterwards(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in AFTERWARDS:
            raise UsageError(
                f"rehearse: AFTERWARDS has {word or 'nothing in it'!r}", resolution=f"known: {', '.join(AFTERWARDS)}"
            )
    return words


def _killed(emulators: Emulators, faults: list[CloudFault]) -> bool:
    return any(fault.name.startswith("kill_runner@") for fault in faults) and bool(emulators.ask("/faults")["fired"])


def describe(verdict: Verdict, as_json: bool) -> str:
    """Return the verdict for people, or as JSON."""
    return json.dumps(verdict.to_mapping(), indent=2) if as_json else "\n".join(verdict.lines())
