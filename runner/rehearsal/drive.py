"""A rehearsal: the very command a user would give, against emulated clouds with real machines, for nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.adapters import process
from runner.adapters.process import ToolTimeoutError
from runner.adapters.stop import Stop
from runner.errors import RunInterruptedError
from runner.models import View
from runner.rehearsal.cache import warm_cache
from runner.rehearsal.emulators import Emulators
from runner.rehearsal.faults import CloudFault, RunnerFault, parse_faults
from runner.rehearsal.verdict import Verdict, judge
from runner.run_dir import PROJECT, list_runs, read_json
from trainer.events import read_events

LONGEST_S = 3600.0
POLL_S = 0.1
INTERRUPT_S = 600.0
SIMULATED = (
    "compute.gpu_required=false",
    "compute.min_gpu_memory_gib=0",
)
"""What differs from a paid run: the boxes have no GPU."""


@dataclass(frozen=True)
class Rehearsal:
    """What to rehearse.

    Attributes:
        environment: The cloud.
        words: Options of ``train`` (run file, data, settings).
        faults: What is to go wrong, as ``FAULTS=`` has it.
        afterwards: What the user does when the runner was killed: a verb, or ``nothing`` and wait for the machine's
            own lease.
        folder: Where all of it is kept.
        program: Module that is the command line.
    """

    environment: str
    words: Sequence[str]
    faults: str
    afterwards: str
    folder: Path
    program: str = "runner"


def new_folder(root: Path) -> Path:
    """Return a folder of its own for a rehearsal."""
    return root.resolve() / f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"[:-3]


def rehearse(rehearsal: Rehearsal, view: View, stop: Stop) -> Verdict:
    """Rehearse a run from start to end and judge what it left.

    Raises:
        UsageError: If a fault is not known, or cannot happen on this cloud or on this machine.
        ToolError: If the emulated cloud does not come up.
        RunInterruptedError: On Ctrl-C; nothing is left.
    """
    cloud_faults, runner_faults = parse_faults(rehearsal.faults)
    view.progress("preparing the packages of the trainer")
    warm_cache()
    with Emulators(rehearsal.environment, rehearsal.folder) as emulators:
        for fault in cloud_faults:
            emulators.tell("/faults", fault.to_mapping())
        driver = _Driver(rehearsal, emulators, view, stop)
        exit_code = driver.run(
            "train", ["--env", rehearsal.environment, *rehearsal.words, *_simulated()], runner_faults
        )
        if exit_code < 0 or _killed(emulators, cloud_faults):
            exit_code = driver.after_the_kill(exit_code)
        return judge(emulators, rehearsal.folder, exit_code, driver.fired, runner_faults)


def _simulated() -> list[str]:
    return [word for setting in SIMULATED for word in ("--set", setting)]


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
        waiting, shown, interrupted = list(faults), log.stat().st_size if log.exists() else 0, False
        child = process.start(argv, log=log, cwd=PROJECT, env=self._emulators.environment())
        self._emulators.tell("/runner", {"pid": child.pid})
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
            raise RunInterruptedError("rehearse: stopped on request", resolution="start again")
        return child.poll() or 0

    def after_the_kill(self, exit_code: int) -> int:
        """Do what the user does next, or wait for what the machine does by itself."""
        verb = self._rehearsal.afterwards
        self._view.line(f"the runner is dead (exit status {exit_code}); next: {verb}")
        if verb == "nothing":
            self._wait_for_the_lease()
            return exit_code
        if verb == "sweep":
            return self.run("sweep", ["--apply"])
        return self.run(verb, [])

    def _wait_for_the_lease(self) -> None:
        deadline = time.monotonic() + LONGEST_S
        while any(machine["is_billing"] for machine in self._emulators.ask("/machines")["machines"]):
            if self._stop.requested:
                raise RunInterruptedError("rehearse: stopped on request", resolution="start again")
            if time.monotonic() > deadline:
                return
            time.sleep(1.0)

    def _show(self, log: Path, shown: int) -> int:
        with log.open("rb") as file:
            file.seek(shown)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].decode(errors="replace").splitlines():
            self._view.line(line)
        return shown + whole

    def _strike(self, child: process.Child, fault: RunnerFault) -> bool:
        """Send a fault's signals once its step goes on; tell whether that was now."""
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
        runs = list_runs(self._runs)
        if not runs:
            return False
        state: dict[str, Any] = read_json(runs[-1].file("state.json")) or {}
        if state.get("steps", {}).get(step, {}).get("status") != "running":
            return False
        if step != "train":
            return True
        return any(event.get("event") == "step" for event in read_events(runs[-1].events))


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
