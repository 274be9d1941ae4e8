"""A computer of a virtual world: its processes, its disk, its sleep."""

from __future__ import annotations

import random
import signal
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import datetime, timedelta
from pathlib import Path

from runner.simulation.disk import MemoryDisk
from runner.simulation.process import KILLED, Process
from runner.simulation.turns import Turns
from runner.world import Connection

FIRST_PORT = 20000
FIRST_PROCESS_ID = 1000
MakeDisk = Callable[[Callable[[], datetime], Callable[[], int], Callable[[], None], Callable[[], None]], MemoryDisk]


class Computer:
    """One computer."""

    def __init__(
        self, turns: Turns, chance: random.Random, *, began: datetime, make_disk: MakeDisk = MemoryDisk
    ) -> None:
        """Begin with an empty disk and no process.

        Args:
            turns: Whose turn it is in this world.
            chance: Where names that nobody can guess come from.
            began: The time of day at the world's beginning (UTC).
            make_disk: Makes its disk, from what it asks: the time, whose turn, whether one may look, who may change.
        """
        self.turns, self.chance = turns, chance
        self.is_awake, self.slept_s = True, 0.0
        self.clock_off_s = 0.0
        self.servers: MutableMapping[tuple[str, int], Callable[[], Connection]] = {}
        self.programs: dict[str, Path] = {}
        self.processes: dict[int, Process] = {}
        self.signals_sent: list[tuple[int, signal.Signals]] = []
        self.began = began
        self.port = FIRST_PORT
        ours = self._current
        self.disk = make_disk(self.now, lambda: ours().process_id, lambda: ours().step(), turns.check)
        self._process_id = FIRST_PROCESS_ID

    def now(self) -> datetime:
        """Return the time of day as this computer shows it."""
        return self.began + timedelta(seconds=self.turns.passed_s + self.clock_off_s)

    def next_process_id(self) -> int:
        """Return an id that no process had before."""
        self._process_id += 1
        return self._process_id - 1

    def sleep(self, seconds: float) -> None:
        """Let it sleep: nothing on it runs for so long, while time goes on everywhere else."""
        if not self.is_awake:
            return
        self.is_awake, began_s = False, self.turns.passed_s

        def wake() -> None:
            self.slept_s += self.turns.passed_s - began_s
            self.is_awake = True

        self.turns.at(began_s + seconds, wake)

    def spawn(self, environ: Mapping[str, str], name: str, work: Callable[[Process], int], **given: object) -> Process:
        """Start a process whose main task is ``work``, which returns its exit status.

        Args:
            environ: Its environment variables.
            name: What to call it.
            work: Called with the process.
            given: As ``Process`` takes it.
        """
        process = Process(self, environ, name=name, **given)  # type: ignore[arg-type]

        def live() -> None:
            process.end(_status(process, work))

        self.turns.start(f"{name} {process.process_id}", process, live)
        return process

    def kill(self, process_id: int) -> None:
        """Send SIGKILL to a process; one that is gone is fine."""
        process = self.processes.get(process_id)
        if process is not None:
            process.end(KILLED)

    def _current(self) -> Process:
        found: Process = self.turns.current.owner  # type: ignore[assignment]  # who asks a computer runs on it
        return found


def _status(process: Process, work: Callable[[Process], int]) -> int:
    """Return the exit status of a process's main task; what it did not catch is a traceback, as in any Python."""
    try:
        return work(process)
    except SystemExit as err:
        return err.code if isinstance(err.code, int) else 1
    except Exception:  # noqa: BLE001 - the last place that can report anything
        process.traceback = traceback.format_exc()
        return 1
