"""A virtual world: time passes at once, chance comes from a seed, tasks take turns in an order drawn from it.

Each task is a thread of this process, and exactly one of them runs at any moment: it goes on until it waits for
something, or changes the disk, and then the seed says who is next. When everybody waits, the clock goes to the first
moment at which somebody stops waiting. So the same seed gives the same history, whatever the machine is doing.
"""

from __future__ import annotations

import contextlib
import random
import signal
import tempfile
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from runner.simulation.disk import MemoryDisk
from runner.world import Bell, Connection, Disk, Event, Lock, Shared, Task

if TYPE_CHECKING:
    from httpx2 import BaseTransport

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
STUCK_S = 60.0
"""Real seconds after which a task that neither waits nor ends is taken for a defect."""
FIRST_PORT = 20000


class DeadlockError(Exception):
    """Every task waits for another, and none of them for a moment in time."""


class _Over(BaseException):
    """Ends a task's thread when its world is closed."""


class _Turn:
    """One task: when it may run, and what it waits for."""

    def __init__(self, name: str) -> None:
        self.name, self.baton, self.is_over = name, threading.Event(), False
        self.is_due: Callable[[], bool] | None = None
        self.until_s: float | None = None


class VirtualWorld:
    """A world in which nothing outside this process happens; leaving the block ends its tasks."""

    def __init__(
        self,
        seed: int = 0,
        environ: Mapping[str, str] | None = None,
        *,
        now: datetime = BEGINNING,
        transport: BaseTransport | None = None,
    ) -> None:
        """Begin at a moment.

        Args:
            seed: Where chance comes from.
            environ: The environment variables; none where not given.
            now: The time of day at the beginning (UTC).
            transport: What HTTP requests go out by; without one they have no way out.
        """
        self.chance = random.Random(seed)  # noqa: S311 - to be the same each time is what it is for
        self.signals_sent: list[tuple[int, signal.Signals]] = []
        self.servers: dict[tuple[str, int], Callable[[], Connection]] = {}
        self.programs: dict[str, Path] = {}
        self._environ, self._transport = dict(environ or {}), transport
        self._began, self._passed_s, self._slept_s = now, 0.0, 0.0
        self._disk = MemoryDisk(self.now, lambda: self.process_id, self._let_others)
        self._handlers: dict[signal.Signals, Callable[[], None]] = {}
        self._port = FIRST_PORT
        self._shared: dict[Hashable, object] = {}
        self._is_closed = False
        self._me = threading.local()
        self._main = self._me.turn = _Turn("main")
        self._turns = [self._main]
        self._failures: list[BaseException] = []

    def __enter__(self) -> Self:
        """Return the world."""
        return self

    def __exit__(self, *error: object) -> None:
        """End every task."""
        self.close()

    def close(self) -> None:
        """End every task where it waits; raise what one of them died of.

        Raises:
            BaseException: What a task did not catch.
        """
        self._is_closed = True
        for turn in self._turns:
            turn.baton.set()
        if self._failures:
            raise self._failures[0]

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment variables."""
        return self._environ

    @property
    def disk(self) -> Disk:
        """The files, in memory."""
        return self._disk

    @property
    def process_id(self) -> int:
        """This process's id."""
        return 1000

    @property
    def boot_id(self) -> str:
        """When the world began: two worlds that begin at one moment count alike."""
        return f"{self._began.timestamp():.0f}"

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
        """Return one of ``programs``; no other is installed."""
        del first
        return self.programs.get(name)

    def now(self) -> datetime:
        """Return the time of day."""
        return self._began + timedelta(seconds=self.boottime_s())

    def monotonic_s(self) -> float:
        """Return seconds since the world began."""
        return self._passed_s

    def boottime_s(self) -> float:
        """Return seconds since the world began, those that this machine slept included."""
        return self._passed_s + self._slept_s

    def fall_asleep(self, seconds: float) -> None:
        """Let the machine sleep: the time of day goes on, and nobody on it notices."""
        self._slept_s += seconds

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass, at once."""
        self._wait(lambda: False, seconds)

    def token(self, size_bytes: int = 8) -> str:
        """Return a name from the seed."""
        return self.chance.randbytes(size_bytes).hex()

    def event(self) -> Event:
        """Return an event that has not happened."""
        return _Event(self._wait)

    def bell(self) -> Bell:
        """Return a bell."""
        return _Bell(self._wait)

    def lock(self) -> Lock:
        """Return a lock that nobody holds."""
        return _Lock(self._wait)

    def start(self, work: Callable[[], None], *, name: str) -> Task:
        """Let work go on in turn with the rest."""
        turn = _Turn(name)
        self._turns.append(turn)
        threading.Thread(target=self._live, args=(turn, work), name=name, daemon=True).start()
        return _Task(turn, self._wait)

    def shared(self, key: Hashable, make: Callable[[], Shared]) -> Shared:
        """Return the object that this world shares under a key."""
        if key not in self._shared:
            self._shared[key] = make()
        return cast("Shared", self._shared[key])

    def on_signals(self, handlers: Mapping[signal.Signals, Callable[[], None]]) -> None:
        """Call a handler when ``signal`` sends its signal to this process."""
        self._handlers |= handlers

    def signal(self, process_id: int, number: signal.Signals) -> None:
        """Send a signal: to this process's handler, or to nobody but ``signals_sent``."""
        self.signals_sent.append((process_id, number))
        if process_id == self.process_id and number in self._handlers:
            self._handlers[number]()

    def is_readable(self, stream: object, timeout_s: float) -> bool:
        """Let the time pass: nobody types here."""
        del stream
        self.sleep(timeout_s)
        return False

    def connect(self, host: str, port: int, timeout_s: float) -> Connection:
        """Return a connection to one of ``servers``; nobody else listens."""
        del timeout_s
        if (host, port) not in self.servers:
            raise ConnectionRefusedError(f"nothing listens at {host}:{port}")
        return self.servers[host, port]()

    def free_port(self) -> int:
        """Return a port that nobody was given before."""
        self._port += 1
        return self._port

    def http_transport(self) -> BaseTransport | None:
        """Return the given transport; a world without one has no network."""
        if self._transport is None:
            raise ConnectionRefusedError("this world has no network")
        return self._transport

    @contextlib.contextmanager
    def scratch(self, prefix: str, *, in_memory: bool = False) -> Iterator[Path]:
        """Return a real folder: what goes through it is handed to programs."""
        del in_memory
        with tempfile.TemporaryDirectory(prefix=prefix) as folder:
            yield Path(folder)

    def _live(self, turn: _Turn, work: Callable[[], None]) -> None:
        self._me.turn = turn
        try:
            self._await_baton(turn)
            work()
        except _Over:
            return
        except BaseException as err:  # noqa: BLE001 - a thread has nobody to raise to; ``close`` raises it
            self._failures.append(err)
        turn.is_over = True
        if self._is_closed:
            return
        try:
            self._next().baton.set()
        except DeadlockError as err:
            self._failures.append(err)
            self._main.baton.set()

    def _let_others(self) -> None:
        """Let the seed say who goes on; the one that asks may be the one."""
        self._wait(lambda: True, None)

    def _wait(self, is_due: Callable[[], bool], timeout_s: float | None) -> bool:
        """Let others run until ``is_due``, or until the time is over; return whether it is."""
        if self._is_closed:
            raise _Over
        turn: _Turn = self._me.turn
        turn.is_due = is_due
        turn.until_s = None if timeout_s is None else self._passed_s + max(0.0, timeout_s)
        chosen = self._next()
        if chosen is not turn:
            chosen.baton.set()
            self._await_baton(turn)
        turn.is_due = turn.until_s = None
        return is_due()

    def _next(self) -> _Turn:
        """Return the task that runs next; when all wait, time goes on to the first that stops waiting."""
        waiting = [turn for turn in self._turns if not turn.is_over]
        while True:
            ready = [turn for turn in waiting if self._is_ready(turn)]
            if ready:
                return self.chance.choice(ready)
            moments = [turn.until_s for turn in waiting if turn.until_s is not None]
            if not moments:
                raise DeadlockError(f"waiting for ever: {', '.join(turn.name for turn in waiting)}")
            self._passed_s = min(moments)

    def _is_ready(self, turn: _Turn) -> bool:
        if turn.is_due is None or turn.is_due():
            return True
        return turn.until_s is not None and turn.until_s <= self._passed_s

    def _await_baton(self, turn: _Turn) -> None:
        if not turn.baton.wait(STUCK_S):
            raise DeadlockError(f"{turn.name} got no turn within {STUCK_S:.0f} s of real time")
        turn.baton.clear()
        if self._is_closed:
            raise _Over


_Wait = Callable[[Callable[[], bool], float | None], bool]


class _Event:
    def __init__(self, wait: _Wait) -> None:
        self._wait, self._has_happened = wait, False

    def set(self) -> None:
        self._has_happened = True

    def is_set(self) -> bool:
        return self._has_happened

    def wait(self, timeout_s: float | None = None) -> bool:
        return self._wait(self.is_set, timeout_s)


class _Bell:
    def __init__(self, wait: _Wait) -> None:
        self._wait, self._has_rung = wait, False

    def ring(self) -> None:
        self._has_rung = True

    def wait(self, timeout_s: float) -> bool:
        rang = self._wait(lambda: self._has_rung, timeout_s)
        self._has_rung = False
        return rang


class _Lock:
    def __init__(self, wait: _Wait) -> None:
        self._wait, self._is_free = wait, True

    def acquire(self, timeout_s: float | None = None) -> bool:
        if not self._wait(lambda: self._is_free, timeout_s):
            return False
        self._is_free = False
        return True

    def release(self) -> None:
        self._is_free = True

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


class _Task:
    def __init__(self, turn: _Turn, wait: _Wait) -> None:
        self._turn, self._wait = turn, wait

    def join(self, timeout_s: float) -> bool:
        return self._wait(lambda: self._turn.is_over, timeout_s)
