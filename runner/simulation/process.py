"""A process of a virtual computer, which is the ``World`` of all that runs in it.

A killed process is gone: from that moment every call of its world has no effect and raises, so that neither ``finally``
nor ``except BaseException`` changes anything any more. Its locks and pipes are let go, as the kernel does.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from runner.simulation.real_folder import clear
from runner.simulation.turns import OverError, Place, always, never
from runner.simulation.waiting import VirtualBell, VirtualEvent, VirtualLock, VirtualTask
from runner.world import Bell, Connection, Disk, Event, Lock, Shared, Task

if TYPE_CHECKING:
    from httpx2 import BaseTransport

    from runner.simulation.computer import Computer

KILLED = -int(signal.SIGKILL)
"""Exit status of a process that was killed."""


class _Nowhere:
    """Where nothing runs."""

    is_awake, slept_s = False, 0.0


_STOPPED = _Nowhere()


class Process:
    """One process, which is the ``World`` of all that runs in it."""

    def __init__(
        self,
        computer: Computer,
        environ: Mapping[str, str],
        *,
        name: str,
        transport: BaseTransport | None = None,
        crash_at: int | None = None,
        on_end: Callable[[Process], None] | None = None,
        shared: Mapping[Hashable, object] | None = None,
    ) -> None:
        """Begin to live.

        Args:
            computer: Where it runs.
            environ: The environment variables.
            name: What to call it.
            transport: What its HTTP requests go out by; without one they have no way out.
            crash_at: The call of this world at which it is killed, counted from 1; ``None`` for no such call.
            on_end: Called once it has ended, however it ended.
            shared: What it shares from its beginning on, by key.
        """
        self.computer, self.name, self.crash_at = computer, name, crash_at
        self._turns = computer.turns
        self.process_id = computer.next_process_id()
        self.calls, self.exit_status, self.is_dead = 0, cast("int | None", None), False
        self.began_s, self.ended_s = computer.turns.passed_s, cast("float | None", None)
        self.place: Place = computer
        self._environ, self._transport, self._on_end = dict(environ), transport, on_end
        self._disk: Disk = computer.disk
        self._handlers: dict[signal.Signals, Callable[[], None]] = {}
        self.traceback = ""
        self.printed: list[str] = []
        self._shared: dict[Hashable, object] = dict(shared or {})
        computer.processes[self.process_id] = self

    def end(self, status: int) -> None:
        """End it, once: its locks are free, and its tasks end where they are."""
        if self.is_dead:
            return
        self.exit_status, self.is_dead = status, True
        self.ended_s = self.computer.turns.passed_s
        self.computer.processes.pop(self.process_id, None)
        self.computer.disk.release(self.process_id)
        self.computer.turns.stir()
        if self._on_end is not None:
            self._on_end(self)

    def freeze(self) -> None:
        """Stop it where it is, as SIGSTOP does; its clocks go on."""
        self.place = _STOPPED

    def thaw(self) -> None:
        """Let it go on."""
        self.place = self.computer
        self.computer.turns.stir()

    def check(self) -> None:
        """Raise if it has ended."""
        if self.is_dead:
            raise OverError(self.name)

    def step(self) -> None:
        """Count a call that changes or waits for something, die of it where that is due, and let others come first."""
        self.count()
        self._turns.wait(always, None)

    def count(self) -> None:
        """Count a call of this world; raise if it was the last, or the world is closed."""
        if self.is_dead or self._turns.is_closed:
            raise OverError(self.name)
        self.calls += 1
        if self.calls == self.crash_at:
            self.end(KILLED)
            raise OverError(self.name)

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment variables."""
        return self._environ

    @property
    def disk(self) -> Disk:
        """The files of its computer."""
        if self.is_dead:
            raise OverError(self.name)
        return self._disk

    @property
    def boot_id(self) -> str:
        """When the world began: two worlds that begin at one moment count alike."""
        return f"{self.computer.began.timestamp():.0f}"

    @property
    def home(self) -> Path:
        """The user's home folder."""
        return Path(self._environ.get("HOME") or "/home/user")

    @property
    def folder(self) -> Path:
        """The folder in which the command is given: the user's home."""
        return self.home

    @property
    def user(self) -> str:
        """The name that the user is logged in by."""
        return self._environ.get("USER") or "user"

    def find_program(self, name: str, *, first: Sequence[Path] = ()) -> Path | None:
        """Return one of the computer's programs; no other is installed."""
        del first
        return self.computer.programs.get(name)

    def now(self) -> datetime:
        """Return the time of day."""
        return self.computer.now()

    def monotonic_s(self) -> float:
        """Return seconds since the world began, without those that the computer slept."""
        return self._turns.passed_s - self.computer.slept_s

    def boottime_s(self) -> float:
        """Return seconds since the world began."""
        return self._turns.passed_s

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass, at once."""
        self.count()
        self._turns.wait(never, seconds)

    def token(self, size_bytes: int = 8) -> str:
        """Return a name from the seed."""
        self.count()
        return self.computer.chance.randbytes(size_bytes).hex()

    def event(self) -> Event:
        """Return an event that has not happened."""
        return VirtualEvent(self.wait_told, self.computer.turns.stir)

    def bell(self) -> Bell:
        """Return a bell."""
        return VirtualBell(self.wait_told, self.computer.turns.stir)

    def lock(self) -> Lock:
        """Return a lock that nobody holds."""
        return VirtualLock(self.wait_told, self.computer.turns.stir)

    def start(self, work: Callable[[], None], *, name: str) -> Task:
        """Let work go on in turn with the rest."""
        self.count()
        return VirtualTask(self.computer.turns.start(name, self, work), self.wait_told)

    def shared(self, key: Hashable, make: Callable[[], Shared]) -> Shared:
        """Return the object that this process shares under a key."""
        if key not in self._shared:
            self._shared[key] = make()
        return cast("Shared", self._shared[key])

    def on_signals(self, handlers: Mapping[signal.Signals, Callable[[], None]]) -> None:
        """Call a handler when its signal comes."""
        self.count()
        self._handlers |= handlers

    def hear(self, number: signal.Signals) -> None:
        """Take a signal: by its handler, else it is the end, as it is of every process that has none."""
        if number in self._handlers and number != signal.SIGKILL:
            self._handlers[number]()
        else:
            self.end(-int(number))

    def signal(self, process_id: int, number: signal.Signals) -> None:
        """Send a signal to a process of this computer; one that is gone is fine."""
        self.count()
        self.computer.signals_sent.append((process_id, number))
        heard = self.computer.processes.get(process_id)
        if heard is not None:
            heard.hear(number)

    def is_readable(self, stream: object, timeout_s: float) -> bool:
        """Let the time pass: nobody types here."""
        del stream
        self.sleep(timeout_s)
        return False

    def connect(self, host: str, port: int, timeout_s: float) -> Connection:
        """Return a connection to one of the computer's ``servers``; nobody else listens."""
        del timeout_s
        self.count()
        if (host, port) not in self.computer.servers:
            raise ConnectionRefusedError(f"nothing listens at {host}:{port}")
        return self.computer.servers[host, port]()

    def free_port(self) -> int:
        """Return a port that nobody was given before."""
        self.computer.port += 1
        return self.computer.port

    def http_transport(self) -> BaseTransport | None:
        """Return the given transport; a process without one has no network."""
        if self._transport is None:
            raise ConnectionRefusedError("this world has no network")
        return self._transport

    @contextlib.contextmanager
    def scratch(self, prefix: str, *, in_memory: bool = False) -> Iterator[Path]:
        """Return a real folder: what goes through it is handed to programs."""
        del in_memory
        self.count()
        folder = tempfile.mkdtemp(prefix=prefix)
        try:
            yield Path(folder)
        finally:
            clear(folder)

    def wait_for(self, is_due: Callable[[], bool], timeout_s: float | None) -> bool:
        """Let others run until ``is_due``, or until the time is over; return whether it is."""
        self.count()
        return self._turns.wait(is_due, timeout_s)

    def wait_told(self, is_due: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait as ``wait_for`` does, for what whoever does it stirs for."""
        self.count()
        return self._turns.wait(is_due, timeout_s, is_told=True)
