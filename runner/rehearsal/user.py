"""The user of a rehearsal: who gives the verbs, suffers the faults of the runner, and comes back after a kill."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from runner.adapters import process
from runner.adapters.process import ToolTimeoutError
from runner.adapters.stop import Stop
from runner.emulation.fault_table import INSIDE
from runner.errors import EXIT_DONE, EXIT_LEFTOVERS, RunInterruptedError
from runner.rehearsal import at_step, inside
from runner.rehearsal.blows import LISTENER, strike
from runner.rehearsal.emulators import Emulators
from runner.rehearsal.faults import (
    DETACHED,
    DIRTY,
    FILE_FAULTS,
    RUNNER_ACTIONS,
    STUCK,
    TWINS,
    CloudFault,
    HomeFault,
    RunnerFault,
)
from runner.rehearsal.home import damage, lose_guard, read_leniently, write_as_a_later_version
from runner.rehearsal.hostile import ATTACKS, attack
from runner.rehearsal.moments import goes_on
from runner.rehearsal.shells import OFFLINE_SHELL, in_shell
from runner.rehearsal.twin import Twin
from runner.run.models import View
from runner.run.run_dir import RunDir, list_runs
from runner.world import RealWorld

LONGEST_S = 3600.0
AFTER_THE_LEASE_S = 420.0
"""How long a machine may take to save its work and end itself, or a sweep to end it, once its lease is over.

A shutdown that hangs is cut short after five minutes.
"""
SWEEP_EVERY_S = 5.0
"""A schedule of minutes, in seconds."""
POLL_S = 0.1
WAIT_S = 0.5
INTERRUPT_S = 600.0
RENTING = ("train", "rebuild", "resume")
"""What asks before it rents: a rehearsal has no terminal, and nothing in it costs money."""
SHOWING = ("sweep", "status", "watch")
"""What does not end a machine that a run may still use, and names it."""
LEAVING = ("terminal_closed@", "sighup@")
"""Faults after which a run that trains goes on without its runner."""
DAMAGING = (*FILE_FAULTS, "other_version")
LISTENERS = {"terminal_closed": "terminal", "stdout_gone": "pipe"}
"""What has to be at the other end of what the runner prints, for faults that take it away."""


class User:
    """Runs the runner as a program of its own, shows what it says, and does to it what the faults ask for."""

    def __init__(
        self,
        program: str,
        emulators: Emulators,
        view: View,
        stop: Stop,
        home_faults: Sequence[HomeFault] = (),
        twin: Twin | None = None,
    ) -> None:
        """Take what there is to act on.

        Args:
            program: Module that is the command line.
            emulators: The clouds.
            view: Who looks on.
            stop: Whether the rehearsal was told to stop.
            home_faults: What is wrong on this computer.
            twin: A second run that can begin beside the first.
        """
        self._program, self._emulators, self._view, self._stop = program, emulators, view, stop
        self._runs, self._home_faults = emulators.folder / "runs", list(home_faults)
        self._boxes = emulators.folder / "boxes" / "boxes"
        self._lease_minutes: list[float] = []
        self._stopped: list[process.Child] = []
        self._twin, self._stuck, self._stuck_on = twin, list[str](), ""
        self._older_guards: list[psutil.Process] = []
        self._detaches = any(fault.action in DETACHED for fault in home_faults)
        self.fired = [fault.name for fault in home_faults if fault.action in {*DIRTY, *DETACHED}]
        self.broken: list[str] = []

    def close(self) -> None:
        """End the runners that were stopped and never went on, and guards that nobody sees any more."""
        for child in self._stopped:
            child.kill()
        for guard in self._older_guards:
            with contextlib.suppress(psutil.NoSuchProcess):
                guard.kill()

    def leave_stuck(self, cloud: str, words: Sequence[str]) -> None:
        """Let a run on another cloud be killed while it trains, whose machine cannot be terminated from then on."""
        self.run("train", words, [RunnerFault(STUCK, "train", "kill_runner")])
        self._stuck += [run.run_id for run in self._latest()]
        self._stuck_on = cloud
        ignored = CloudFault("terminate_ignored").to_mapping(cloud)
        self._emulators.send("/faults", {**ignored, "count": "always"})

    @property
    def is_left_up(self) -> bool:
        """Whether the runner has left a machine on purpose: it was to leave it, or its terminal was closed."""
        return self._detaches or (any(name.startswith(LEAVING) for name in self.fired) and self._bills())

    @property
    def is_folder_damaged(self) -> bool:
        """Whether the run's folder was damaged: its machine goes all the same, and no receipt can be written there."""
        return any(fault.action in DAMAGING and fault.name in self.fired for fault in self._home_faults)

    def run(self, verb: str, words: Sequence[str], faults: Sequence[RunnerFault] = (), *, shell: str = "") -> int:
        """Run one verb to its end; return its exit status, negative for a signal.

        Args:
            verb: The verb.
            words: Its options.
            faults: What happens to the runner meanwhile.
            shell: What is wrong with the shell in which it is given: ``no_key``, ``other_account``, ``OFFLINE_SHELL``
                or nothing.
        """
        log = self._emulators.folder / f"{verb}.log"
        words = [verb, "--runs-dir", str(self._runs), *words]
        words += ["--yes"] if verb in RENTING else []
        words += ["--detach"] if verb == "train" and self._detaches else []
        dirty = [fault.action for fault in self._home_faults if fault.action in DIRTY]
        argv, cwd, environ = in_shell(self._program, words, self._emulators, [shell, *dirty])
        kind = next((LISTENERS[fault.action] for fault in faults if fault.action in LISTENERS), None)
        argv = argv if kind is None else [sys.executable, "-m", LISTENER, kind, *argv]
        shown = log.stat().st_size if log.exists() else 0
        child = process.start(argv, log=log, cwd=cwd, env=environ)
        self._emulators.send("/runner", {"pid": child.pid})
        try:
            self._follow(child, log, shown, faults)
        finally:
            if child not in self._stopped:
                child.kill()
        return -signal.SIGSTOP if child in self._stopped else child.poll() or 0

    def _follow(self, child: process.Child, log: Path, shown: int, faults: Sequence[RunnerFault]) -> None:
        """Show what a runner says and strike it, until it ends or is stopped for good."""
        waiting, interrupted, deadline = list(faults), False, time.monotonic() + LONGEST_S
        while child.poll() is None and child not in self._stopped:
            shown = self._show(log, shown)
            waiting = [fault for fault in waiting if not self._strike(child, fault)]
            if self._stop.requested and not interrupted:
                interrupted, deadline = True, time.monotonic() + INTERRUPT_S
                strike(child.pid, RUNNER_ACTIONS["ctrl_c"])
            if time.monotonic() > deadline:
                raise ToolTimeoutError(f"rehearse: {log.stem} did not end in time", resolution=f"see {log}")
            time.sleep(POLL_S)
        self._show(log, shown)
        if interrupted:
            raise _stopped()

    def after_the_kill(self, exit_code: int, afterwards: Sequence[str]) -> int:
        """Do what the user does next, or wait for what the machine does by itself; return the last exit status."""
        self._note_the_lease()
        for run in self._latest():
            self.fired += damage(run, self._home_faults)
        for number, word in enumerate(afterwards):
            self._view.line(f"the runner is dead (exit status {exit_code}); next: {word}")
            deadline = time.monotonic() + self._lease_s() + AFTER_THE_LEASE_S
            if word == "nothing":
                self._wait(deadline, self._bills)
            self._give_in_another_shell(word)
            is_last = number + 1 == len(afterwards)
            if word == "sweep" or (word == "nothing" and is_last and not self._bills() and self._is_something_left()):
                exit_code = self._sweep_on_schedule(deadline)
            elif word != "nothing":
                exit_code = self._come_back(word)
        return exit_code

    def _come_back(self, word: str, *, shell: str = "") -> int:
        """Give a verb after the kill; what bills after it has to be said by its status, or is only shown."""
        exit_code = self.run(word, ["--apply"] if word == "sweep" else [], shell=shell)
        is_said = (exit_code == EXIT_LEFTOVERS and shell != OFFLINE_SHELL) or (word in SHOWING and not shell)
        if self._bills() and not is_said:
            self.broken.append(f"something still bills after {word} with exit status {exit_code}")
        if word == "resume" and self._older_guards and exit_code != EXIT_DONE:
            self.broken.append(f"beside the guard of before, resume ended with exit status {exit_code}")
        return exit_code

    def _give_in_another_shell(self, word: str) -> None:
        """Give a verb as the faults spoil it, before it is given as it should be."""
        for fault in [fault for fault in self._home_faults if fault.at == word]:
            if fault.action == "two_guards" and not self._lose_the_guard():
                continue
            self.fired.append(fault.name)
            self._view.line(f"fault: {fault.name}")
            if fault.action == "two_guards":
                continue
            if fault.action == "other_version":
                for run in self._latest():
                    write_as_a_later_version(run)
            else:
                self._come_back(word, shell=fault.action)

    def _lose_the_guard(self) -> bool:
        """Let the guard that lives be one that nobody can see; return whether there was one."""
        pids = [lose_guard(run) for run in self._latest()]
        self._older_guards += [psutil.Process(pid) for pid in pids if pid]
        return any(pids)

    def _sweep_on_schedule(self, deadline: float) -> int:
        """Sweep as a schedule does, until nothing is left; return the exit status of the last sweep.

        Keys, firewalls and volumes of a run go that way also where its machine ends itself. Of what is stuck elsewhere
        the last one has to say so: a lease there may run out later.
        """
        while True:
            exit_code = self._come_back("sweep")
            is_unsaid = bool(self._stuck) and exit_code != EXIT_LEFTOVERS
            if time.monotonic() > deadline or not (self._bills() or self._is_something_left() or is_unsaid):
                return exit_code
            self._wait(time.monotonic() + SWEEP_EVERY_S, lambda: True)

    def _lease_s(self) -> float:
        """Return how long the machine of the run goes on without a word."""
        return 60 * sum(self._lease_minutes)

    def _note_the_lease(self) -> None:
        """Keep the minutes of the run's lease, before its folder is damaged."""
        budgets = [read_leniently(run.path / "config.json").get("budget", {}) for run in self._latest()]
        self._lease_minutes = [float(budget.get("lease_minutes", 0.0)) for budget in budgets]

    def _bills(self) -> bool:
        return any(machine["is_billing"] for machine in self._machines())

    def _is_something_left(self) -> bool:
        return bool(self._of_the_run("/leftovers", "leftovers"))

    def _machines(self) -> list[dict[str, Any]]:
        return self._of_the_run("/machines", "machines")

    def _of_the_run(self, path: str, key: str) -> list[dict[str, Any]]:
        """Return rows of the control API without those of a cloud that is only there for a machine that is stuck."""
        return [row for row in self._emulators.ask(path)[key] if row["cloud"] != self._stuck_on]

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
        """Let a fault happen once its step goes on; return whether that was now."""
        if not self._goes_on(fault.step):
            return False
        if not self._act(child, fault):
            return False
        if fault.action == "runner_stopped":
            self._stopped.append(child)
        self._view.line(f"fault: {fault.name}")
        self.fired.append(fault.name)
        return True

    def _act(self, child: process.Child, fault: RunnerFault) -> bool:
        """Do what a fault asks for; return whether whom it is meant for was there."""
        if fault.action in ATTACKS:
            return attack(fault.action, self._boxes, self._latest()[-1].run_id)
        if fault.action in INSIDE:
            return inside.befall(fault.action, self._emulators, self._latest()[-1].run_id, self._machines())
        if fault.action in at_step.AT_STEP:
            return at_step.befall(fault.action, fault.args, self._latest()[-1], self._emulators, self._machines())
        if fault.action == TWINS:
            return self._twin is not None and self._twin.begin(self._latest()[-1])
        if fault.action == "runs_deleted":
            shutil.rmtree(self._runs, ignore_errors=True)
            return True
        return strike(child.pid, fault.does)

    def _goes_on(self, step: str) -> bool:
        return any(goes_on(run, step, self._bills, self._emulators.folder) for run in self._latest())

    def _latest(self) -> list[RunDir]:
        """Return the latest run in a list, which is empty while there is none; what is stuck elsewhere is left out."""
        return [run for run in list_runs(self._runs, RealWorld()) if run.run_id not in self._stuck][-1:]


def _stopped() -> RunInterruptedError:
    return RunInterruptedError(
        "rehearse: stopped on request",
        resolution="run `make rehearse` again; `make rehearse-clean` removes leftovers",
    )
