"""One try of ``benchmarks.kill_anywhere``: a run and emulated clouds of its own, a blow, a user, a judge.

The judge believes three sources, none of them Douse's: the emulated cloud's book of who bills, the raw requests that
its API got, and the processes of this machine that belong to boxes.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.results import PROJECT
from runner.adapters import process
from runner.errors import EXIT_DONE, EXIT_LEFTOVERS
from runner.rehearsal.blows import network_of, networks_of
from runner.rehearsal.emulators import Emulators
from runner.run.run_dir import RunDir, list_runs
from runner.world import RealWorld

LOOK_EVERY_S = 0.1
LONGEST_S = 900.0
LEASE_S = 30.0
AFTER_THE_LEASE_S = 120.0
NO_LEASE_S = 15.0
"""How long to see what happens to a machine that never had a lease: its own end is hours away."""
SWEEP_EVERY_S = 5.0
BOX_END_S = 20.0
TIMES_AGAIN = 3
"""How often a user repeats what the hint of status 3 says."""
PROGRAMS = {"terraform": ("terraform", "tofu"), "ansible": ("ansible-playbook",)}
RUNNING_ON = "continues without a runner"
"""What a runner says that leaves its machine up on purpose."""


@dataclass(frozen=True)
class Job:
    """The run that is killed.

    Attributes:
        cloud: Where it rents.
        program: Module that is the command line.
        words: Options of ``train``.
        variables: Variables on top of the emulated cloud's.
    """

    cloud: str
    program: str
    words: Sequence[str]
    variables: dict[str, str]


@dataclass(frozen=True)
class Blow:
    """What hits the run.

    Attributes:
        target: ``everything`` (the runner with all that it has started), ``runner``, ``terraform`` or ``ansible``.
        signal: What it gets.
        at: The moment, as a share of the target's life in a clean run.
        afterwards: What the user does then.
    """

    target: str
    signal: signal.Signals
    at: float
    afterwards: str


@dataclass
class Found:
    """What a try showed.

    Attributes:
        blow: What hit it.
        step: The last step that had begun by then; empty before any.
        lived_s: Seconds that the run lived.
        struck_s: Seconds from the start to the blow, ``None`` if the target had ended by itself.
        statuses: Verb and exit status of each command, in order.
        machines: How many were rented.
        pending: A machine of a run without a lease waited for its own end, and the user came back.
        is_left: Something bills at the end; status 3 has said so.
        broken: What was billing, or is said wrongly, without status 3.
    """

    blow: Blow
    step: str = ""
    struck_s: float | None = None
    lived_s: float = 0.0
    statuses: list[tuple[str, int]] = field(default_factory=list)
    machines: int = 0
    pending: bool = False
    is_left: bool = False
    broken: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """How it went, in a word or two."""
        if self.broken:
            return "BROKEN"
        if self.is_left:
            return "status 3"
        return "held, by the user" if self.pending else "held"


@dataclass
class Life:
    """When which program of a clean run lived, in seconds from its start."""

    length_s: float = 0.0
    seen_s: dict[str, list[float]] = field(default_factory=dict)

    def within(self, length_s: float) -> Life:
        """Return the life as it is on a machine that has less else to do."""
        share = length_s / self.length_s
        return Life(length_s, {name: [share * at for at in seen] for name, seen in self.seen_s.items()})

    def moment(self, blow: Blow) -> float:
        """Return the second at which a blow falls."""
        seen = self.seen_s.get(blow.target)
        return seen[int(blow.at * len(seen))] if seen else blow.at * self.length_s


class Try:
    """A run with emulated clouds of its own; they end with the block, whatever is left of the run too."""

    def __init__(self, job: Job, folder: Path) -> None:
        """Take the run and a folder for all that belongs to it."""
        self._job, self._folder, self._runs = job, folder, folder / "runs"
        self._emulators = Emulators(job.cloud, folder)
        self._started: dict[int, psutil.Process] = {}
        self._said = ""

    def clean(self) -> Life:
        """Let the run live to its end, and return its life.

        Raises:
            SystemExit: If it does not end well: then there is nothing to learn from it.
        """
        life = Life()
        with self._emulators:
            for since_s, programs in self._living("train", self._job.words):
                life.length_s = since_s
                for name in programs:
                    life.seen_s.setdefault(name, []).append(since_s)
            if self._status != EXIT_DONE:
                raise SystemExit(f"error: the clean run ended with status {self._status}:\n{self._said[-3000:]}")
        return life

    def strike(self, blow: Blow, at_s: float) -> Found:
        """Hit the run, do what the user does then, and judge."""
        found = Found(blow)
        with self._emulators:
            try:
                for since_s, programs in self._living("train", self._job.words):
                    found.lived_s = since_s
                    if found.struck_s is None and since_s >= at_s and blow.target in (*programs, "everything"):
                        found.struck_s, found.step = since_s, self._step()
                        self._hit(blow, programs)
                found.statuses.append(("train", self._status))
                self._judge(found)
                self._come_back(found)
                found.machines, found.is_left = len(self._book()), bool(self._billing())
                self._keep_the_log()
            finally:
                self._end_strays()
        return found

    def _living(self, verb: str, words: Sequence[str]) -> Iterator[tuple[float, dict[str, psutil.Process]]]:
        """Run a verb to its end; yield, several times a second, since when it runs and which programs live."""
        log = self._folder / "said.log"
        begun, from_byte = time.monotonic(), log.stat().st_size if log.exists() else 0
        environment = self._emulators.environment() | self._job.variables
        child = process.start(self._argv(verb, words), log=log, cwd=PROJECT, env=environment)
        while child.poll() is None:
            if (since_s := time.monotonic() - begun) > LONGEST_S:
                child.kill()
                raise SystemExit(f"error: {verb} does not end within {LONGEST_S:.0f} s: see {log}")
            yield since_s, self._programs(child.pid)
            time.sleep(LOOK_EVERY_S)
        self._status = child.poll() or 0
        self._said = log.read_bytes()[from_byte:].decode(errors="replace")

    def _argv(self, verb: str, words: Sequence[str]) -> list[str]:
        if verb == "terminate":
            return [sys.executable, "-m", "runner.cli.terminate", *words]
        return [sys.executable, "-m", self._job.program, verb, "--runs-dir", str(self._runs), *words]

    def _programs(self, pid: int) -> dict[str, psutil.Process]:
        """Return the programs that a blow can be meant for, and remember everything that was started."""
        living: dict[str, psutil.Process] = {}
        with suppress(psutil.NoSuchProcess):
            living["runner"] = psutil.Process(pid)
            for child in living["runner"].children(recursive=True):
                self._started.setdefault(child.pid, child)
                with suppress(psutil.Error):
                    words = [Path(word).name for word in child.cmdline()[:2]]
                    living |= {name: child for name, known in PROGRAMS.items() if {*words} & {*known}}
        return living

    def _hit(self, blow: Blow, programs: dict[str, psutil.Process]) -> None:
        doomed = [programs["runner" if blow.target == "everything" else blow.target]]
        with suppress(psutil.NoSuchProcess):
            if blow.target == "everything":
                doomed += doomed[0].children(recursive=True)
            for one in doomed:
                with suppress(psutil.NoSuchProcess):
                    one.send_signal(blow.signal)

    def _come_back(self, found: Found) -> None:
        """Do what the user does after the blow; where status 3 says so, again."""
        word, run = found.blow.afterwards, self._run()
        if run is None:
            word = "sweep"
        if word == "nothing":
            self._wait(found, run, lambda: None)
        elif word == "sweep":
            self._wait(found, run, lambda: self._command(found, "sweep", ["--apply"]))
        else:
            self._insist(found, word, run)
        if found.pending and run is not None:
            self._insist(found, "down", run)

    def _wait(self, found: Found, run: RunDir | None, meanwhile: Callable[[], None]) -> None:
        """Wait until the run's lease is over, or see that it never had one and waits for its own end."""
        has_lease = run is not None and run.file("lease.json").exists()
        deadline = time.monotonic() + (LEASE_S + AFTER_THE_LEASE_S if has_lease else NO_LEASE_S)
        meanwhile()
        while self._billing() and time.monotonic() < deadline:
            time.sleep(SWEEP_EVERY_S)
            meanwhile()
        is_left_up = RUNNING_ON in self._train_said()
        if self._billing() and has_lease and not is_left_up:
            found.broken.append(f"{', '.join(self._billing())} bills {AFTER_THE_LEASE_S:.0f} s after its lease")
        found.pending = bool(self._billing())

    def _insist(self, found: Found, word: str, run: RunDir | None) -> None:
        words = ["--run", run.run_id] if run is not None else []
        words += ["--env", self._job.cloud] if word == "terminate" else []
        words += ["--yes"] if word == "resume" else []
        for _ in range(TIMES_AGAIN):
            self._command(found, word, words)
            if self._status != EXIT_LEFTOVERS or not self._billing():
                break

    def _command(self, found: Found, verb: str, words: Sequence[str]) -> None:
        for _ in self._living(verb, words):
            continue
        found.statuses.append((verb, self._status))
        self._judge(found)

    def _judge(self, found: Found) -> None:
        """Note what bills although the last command gave no status 3; one that was killed has promised nothing."""
        verb, status = found.statuses[-1]
        billing = self._billing()
        is_said = status == EXIT_LEFTOVERS or status < 0 or RUNNING_ON in self._said
        if verb == "sweep":  # it says of each machine that stays why it does
            is_said = is_said or all(machine in self._said for machine in billing)
        if billing and not is_said:
            found.broken.append(f"{', '.join(billing)} bills after {verb} with status {status}")
        if not self._boxes_end():
            found.broken.append(f"a box lives after {verb}, and nothing bills for it")
        found.broken += [f"{one} ended unasked" for one in self._unasked(self._book())]

    def _book(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._emulators.ask("/machines")["machines"]
        return rows

    def _billing(self) -> list[str]:
        return [row["id"] for row in self._book() if row["is_billing"]]

    def _requests(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._emulators.ask("/requests")["requests"]
        return rows

    def _unasked(self, book: Sequence[dict[str, Any]]) -> list[str]:
        """Return machines that the book calls ended by a request which the raw requests do not have."""
        asked = [
            json.dumps([row["path"], row["query"], row["body"]])
            for row in self._requests()
            if row["method"] != "GET" and row["status"] < 300
        ]
        ended = [row["id"] for row in book if not row["is_billing"] and row["ended_by"] == "request"]
        return [machine for machine in ended if not any(machine in text for text in asked)]

    def _boxes_end(self) -> bool:
        """Return whether no more boxes live than bill, within the time that a box takes to end."""
        deadline = time.monotonic() + BOX_END_S
        while self._boxes() > len(self._billing()):
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_EVERY_S)
        return True

    def _boxes(self) -> int:
        """Return how many boxes of this try have a process."""
        return len(networks_of(self._folder) & {network_of(pid) for pid in psutil.pids()})

    def _run(self) -> RunDir | None:
        runs = list_runs(self._runs, RealWorld())
        return runs[-1] if runs else None

    def _step(self) -> str:
        run = self._run()
        with suppress(OSError, ValueError):
            if run is not None:
                steps: dict[str, Any] = json.loads(run.file("state.json").read_bytes()).get("steps", {})
                return list(steps)[-1] if steps else "plan"
        return ""

    def _train_said(self) -> str:
        return (self._folder / "said.log").read_text(errors="replace")

    def _keep_the_log(self) -> None:
        (self._folder / "requests.json").write_text(json.dumps(self._requests(), indent=1) + "\n", encoding="utf-8")

    def _end_strays(self) -> None:
        """End what the run had started and outlived it; a process id that was used again is left alone."""
        for one in self._started.values():
            with suppress(psutil.NoSuchProcess):
                one.kill()
