"""A rehearsal: the very command a user would give, against emulated clouds with real machines, for nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.adapters import process
from runner.adapters.process import ToolTimeoutError
from runner.adapters.stop import Stop
from runner.emulation.boxes import supported, why_no_logins
from runner.emulation.cache import warm_cache
from runner.errors import RunInterruptedError, UsageError
from runner.rehearsal.emulators import Emulators
from runner.rehearsal.faults import CloudFault, RunnerFault, parse_faults
from runner.rehearsal.services import emulated_clouds
from runner.rehearsal.verdict import Verdict, judge
from runner.run.models import View
from runner.run.run_dir import PROJECT, list_runs, read_json
from runner.world import RealWorld
from trainer.events import parse_events

LONGEST_S = 3600.0
AFTER_THE_LEASE_S = 300.0
"""How long a machine may take to save its work and end itself, or a sweep to end it, once its lease is over."""
SWEEP_EVERY_S = 5.0
"""A schedule of minutes, in seconds."""
POLL_S = 0.1
WAIT_S = 0.5
INTERRUPT_S = 600.0
WITHOUT_RECEIPT = ("nothing", "sweep")
"""What terminates a machine without the run's own teardown, and so without its receipt."""
RENTING = ("train", "rebuild", "resume")
"""What asks before it rents: a rehearsal has no terminal, and nothing in it costs money."""
AFTERWARDS = ("down", *WITHOUT_RECEIPT, "resume", "watch")
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
    """

    environment: str
    words: Sequence[str]
    faults: str
    afterwards: str
    folder: Path
    program: str = "runner"
    verb: str = "train"
    before_close: Callable[[Emulators], None] | None = None


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
    cloud_faults, runner_faults = parse_faults(rehearsal.faults)
    afterwards = _afterwards(rehearsal.afterwards)
    if _has_real_boxes(rehearsal, view):
        view.progress("preparing the packages of the trainer")
        warm_cache()
    with Emulators(rehearsal.environment, rehearsal.folder) as emulators:
        for fault in cloud_faults:
            emulators.send("/faults", fault.to_mapping())
        driver = _Driver(rehearsal, emulators, view, stop)
        exit_code = driver.run(
            rehearsal.verb, ["--env", rehearsal.environment, *_simulated(), *rehearsal.words], runner_faults
        )
        was_killed = exit_code < 0 or _killed(emulators, cloud_faults)
        if was_killed:
            exit_code = driver.after_the_kill(exit_code, afterwards)
        needs_receipt = not was_killed or not set(afterwards) <= set(WITHOUT_RECEIPT)
        verdict = judge(
            emulators, rehearsal.folder, exit_code, driver.fired, runner_faults, needs_receipt=needs_receipt
        )
        if rehearsal.before_close is not None:
            rehearsal.before_close(emulators)
        return verdict


def _has_real_boxes(rehearsal: Rehearsal, view: View) -> bool:
    """Return whether boxes are machines of their own; else they are logins of this machine, and that is said.

    Raises:
        UsageError: If there can be neither.
    """
    reason = supported()
    if reason is None:
        return True
    why_not = emulated_clouds()[rehearsal.environment].why_no_logins or why_no_logins()
    if why_not is not None:
        raise UsageError(
            f"rehearse: this machine cannot boot machines of its own: {reason}; and {why_not}",
            resolution="see what it needs in docs/rehearsal.md",
        )
    view.line(f"the rented machine is a login of this one, with a home of its own: {reason}")
    return False


def _simulated() -> list[str]:
    return [word for setting in SIMULATED for word in ("--set", setting)]


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


class _Driver:
    """Runs the runner as a program of its own, shows what it says, and does to it what the faults ask for."""

    def __init__(self, rehearsal: Rehearsal, emulators: Emulators, view: View, stop: Stop) -> None:
        self._rehearsal, self._emulators, self._view, self._stop = rehearsal, emulators, view, stop
        self._runs = rehearsal.folder / "runs"
        self.fired: list[str] = []

    def run(self, verb: str, words: Sequence[str], faults: Sequence[RunnerFault] = ()) -> int:
        """Run one verb to its end; return its exit status, negative for a signal."""
        log = self._rehearsal.folder / f"{verb}.log"
        argv = [sys.executable, "-m", self._rehearsal.program, verb, "--runs-dir", str(self._runs), *words]
        argv += ["--yes"] if verb in RENTING else []
        waiting, shown, interrupted = list(faults), log.stat().st_size if log.exists() else 0, False
        child = process.start(argv, log=log, cwd=PROJECT, env=self._emulators.environment())
        self._emulators.send("/runner", {"pid": child.pid})
        deadline = time.monotonic() + LONGEST_S
        try:
            while child.poll() is None:
                shown = self._show(log, shown)
                waiting = [fault for fault in waiting if not self._strike(child, fault)]
                if self._stop.requested and not interrupted:
                    interrupted, deadline = True, time.monotonic() + INTERRUPT_S
                    _send(child.pid, 2)
                if time.monotonic() > deadline:
                    raise ToolTimeoutError(
                        f"rehearse: {verb} did not end within {LONGEST_S:.0f} s", resolution=f"see {log}"
                    )
                time.sleep(POLL_S)
            self._show(log, shown)
        finally:
            child.kill()
        if interrupted:
            raise _stopped()
        return child.poll() or 0

    def after_the_kill(self, exit_code: int, afterwards: Sequence[str]) -> int:
        """Do what the user does next, or wait for what the machine does by itself; return the last exit status."""
        for number, word in enumerate(afterwards):
            self._view.line(f"the runner is dead (exit status {exit_code}); next: {word}")
            deadline = time.monotonic() + self._lease_s() + AFTER_THE_LEASE_S
            if word == "nothing":
                self._wait(deadline, self._bills)
            is_last = number + 1 == len(afterwards)
            if word == "sweep" or (word == "nothing" and is_last and not self._bills() and self._is_something_left()):
                exit_code = self._sweep_on_schedule(deadline)
            elif word != "nothing":
                exit_code = self.run(word, [])
        return exit_code

    def _sweep_on_schedule(self, deadline: float) -> int:
        """Sweep as a schedule does, until nothing is left; return the exit status of the last sweep.

        Keys, firewalls and volumes of a run go that way also where its machine ends itself.
        """
        while True:
            exit_code = self.run("sweep", ["--apply"])
            if time.monotonic() > deadline or not (self._bills() or self._is_something_left()):
                return exit_code
            self._wait(time.monotonic() + SWEEP_EVERY_S, lambda: True)

    def _lease_s(self) -> float:
        """Return how long the machine of the run goes on without a word."""
        runs = list_runs(self._runs, RealWorld())
        config: dict[str, Any] = (read_json(runs[-1].config) if runs else None) or {}
        return float(config.get("budget", {}).get("lease_minutes", 0.0)) * 60

    def _bills(self) -> bool:
        return any(machine["is_billing"] for machine in self._emulators.ask("/machines")["machines"])

    def _is_something_left(self) -> bool:
        return bool(self._emulators.ask("/leftovers")["leftovers"])

    def _wait(self, deadline: float, wanted: Callable[[], bool]) -> None:
        while time.monotonic() < deadline and wanted():
            if self._stop.requested:
                raise _stopped()
            time.sleep(WAIT_S)

    def _show(self, log: Path, shown: int) -> int:
        with log.open("rb") as file:
            file.seek(shown)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].decode(errors="replace").splitlines():
            self._view.line(line)
        return shown + whole

    def _strike(self, child: process.Child, fault: RunnerFault) -> bool:
        """Send a fault's signals once its step goes on; return whether that was now."""
        if not self._goes_on(fault.step):
            return False
        self._view.line(f"fault: {fault.name}")
        self.fired.append(fault.name)
        for number, word in enumerate(fault.signals):
            if number:
                time.sleep(1.0)
            if word.name == "SIGKILL":
                _kill_tree(child.pid)
            else:
                _send(child.pid, word)
        return True

    def _goes_on(self, step: str) -> bool:
        runs = list_runs(self._runs, RealWorld())
        if not runs:
            return False
        state: dict[str, Any] = read_json(runs[-1].file("state.json")) or {}
        if state.get("steps", {}).get(step, {}).get("status") != "running":
            return False
        if step != "train":
            return True
        return any(event.get("event") == "step" for event in parse_events(runs[-1].events.read_or_nothing()))


def _send(pid: int, number: int) -> None:
    import psutil

    try:
        psutil.Process(pid).send_signal(number)
    except psutil.NoSuchProcess:
        return


def _kill_tree(pid: int) -> None:
    """SIGKILL a process and all it has started, as when the power fails."""
    import psutil

    try:
        root = psutil.Process(pid)
        doomed = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in doomed:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue


def describe(verdict: Verdict, as_json: bool) -> str:
    """Return the verdict for people, or as JSON."""
    return json.dumps(verdict.to_mapping(), indent=2) if as_json else "\n".join(verdict.lines())


def _stopped() -> RunInterruptedError:
    return RunInterruptedError(
        "rehearse: stopped on request",
        resolution="run `make rehearse` again; `make rehearse-clean` removes leftovers",
    )
