"""The one door to time, chance and surroundings: everything the runner does not compute comes in through a ``World``.

A ``World`` is made once in the ``__main__`` of each process, is carried by ``Context``, and is handed to clients. The
real one is here; ``runner/simulation/world.py`` has a virtual one, in which time passes at once, chance comes from a
seed, and the disk is a mapping. No other module of the runner may read a clock, an environment variable or a file of
``runs/``, start a thread or wait for one: ruff and ``tests/unit/runner/test_world_door.py`` say where that is broken.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import secrets
import select
import shutil
import signal
import socket
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol, Self, TypeVar, cast

from trainer.files import write_atomically

if TYPE_CHECKING:
    from httpx2 import BaseTransport

Shared = TypeVar("Shared")
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in it is made with a name of its own, for its owner alone
"""Where a file never reaches a disk, on Linux."""
HIGHEST_READ_BYTES = 65536
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
BOOT_ID_LENGTH = 8
"""Enough of it: a run knows a few starts of a few computers."""
BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux has a clock of its own that counts sleep; macOS has no such name, for its ``CLOCK_MONOTONIC`` counts it."""


class Event(Protocol):
    """Something that happens once and stays so."""

    def set(self) -> None:
        """Let it have happened."""

    def is_set(self) -> bool:
        """Return whether it has happened."""

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it happens, for ``timeout_s`` seconds at most; return whether it has happened."""


class Bell(Protocol):
    """Wakes whoever waits; may be rung from within a signal handler, which an ``Event`` must not be."""

    def ring(self) -> None:
        """Wake whoever waits now, else whoever waits next."""

    def wait(self, timeout_s: float) -> bool:
        """Wait until it rings, for ``timeout_s`` seconds at most; return whether it rang."""


class Lock(Protocol):
    """Held by one task at a time; a context manager."""

    def acquire(self, timeout_s: float | None = None) -> bool:
        """Take it, waiting ``timeout_s`` seconds at most, or without end; return whether it is held now."""

    def release(self) -> None:
        """Let it go."""

    def __enter__(self) -> Self:
        """Take it."""

    def __exit__(self, *error: object) -> None:
        """Let it go."""


class Task(Protocol):
    """Work that goes on beside the rest."""

    def join(self, timeout_s: float) -> bool:
        """Wait for its end, ``timeout_s`` seconds at most; return whether it has ended."""


class Connection(Protocol):
    """A TCP connection."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of it."""

    def recv(self, size: int, /) -> bytes:
        """Return the bytes received, at most ``size``; empty at the end."""

    def settimeout(self, timeout_s: float | None, /) -> None:
        """Let sending and receiving take so many seconds at most."""

    def close(self) -> None:
        """Close it."""


class LockedError(Exception):
    """Another process holds the lock of a file."""


class Disk(Protocol):
    """The files of ``runs/``. Errors are those of the operating system: ``FileNotFoundError``, ``OSError``."""

    def read(self, path: Path) -> bytes:
        """Return a file's content."""

    def write(self, path: Path, content: bytes, mode: int | None = None) -> None:
        """Write a file such that it is there whole or not at all, after a power cut too; its folder is made.

        Args:
            path: The file.
            content: All of it.
            mode: Its permission bits, set before there is anything in it; ``None`` for what the process gives.
        """

    def append(self, path: Path, content: bytes, *, synced: bool = False) -> None:
        """Add to the end of a file, made where it is missing; ``synced``: it is on the disk before this returns."""

    def names(self, path: Path) -> list[str]:
        """Return the names in a folder, sorted; none where there is no folder."""

    def is_file(self, path: Path) -> bool:
        """Return whether there is a file of this name."""

    def is_dir(self, path: Path) -> bool:
        """Return whether there is a folder of this name."""

    def size_bytes(self, path: Path) -> int:
        """Return a file's size."""

    def changed_at(self, path: Path) -> datetime:
        """Return when a file was last changed (UTC)."""

    def make_folder(self, path: Path, *, exist_ok: bool = True, mode: int = 0o777) -> None:
        """Make a folder with all above it; ``mode``: its permission bits at most, where it is made."""

    def rename(self, path: Path, target: Path) -> None:
        """Give a file or a folder another name; a file in its place is replaced."""

    def remove(self, path: Path) -> None:
        """Remove a file; one that is missing is fine."""

    def remove_tree(self, path: Path) -> None:
        """Remove a folder with all in it; one that is missing is fine."""

    def lock(self, path: Path) -> contextlib.AbstractContextManager[None]:
        """Hold a lock that ends with the process, however it ends; the file holds this process's id meanwhile.

        Raises:
            LockedError: On entering, if another process holds it.
        """

    def lock_holder(self, path: Path) -> int | None:
        """Return the id of the process that holds a lock, 0 where it has not signed yet, ``None`` where none does."""


class World(Protocol):
    """Time, chance and surroundings of one process."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment variables."""

    @property
    def disk(self) -> Disk:
        """The files of ``runs/``."""

    @property
    def process_id(self) -> int:
        """This process's id."""

    @property
    def boot_id(self) -> str:
        """What tells this start of this computer from every other, for ``boottime_s``; empty where it has none."""

    @property
    def home(self) -> Path:
        """The user's home folder."""

    @property
    def folder(self) -> Path:
        """The folder in which the command is given; relative paths of the command line begin there."""

    @property
    def user(self) -> str:
        """The name that the user is logged in by."""

    def find_program(self, name: str, *, first: Sequence[Path] = ()) -> Path | None:
        """Return a program by its name, or ``None`` if there is none.

        Args:
            name: Its name, or its path.
            first: Folders to look into before those on PATH.
        """

    def now(self) -> datetime:
        """Return the time of day (UTC); it may be set back."""

    def monotonic_s(self) -> float:
        """Return seconds since some moment; they never go back."""

    def boottime_s(self) -> float:
        """Return seconds since some moment; unlike ``monotonic_s`` they go on while this machine sleeps."""

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""

    def token(self, size_bytes: int = 8) -> str:
        """Return a new name that nobody can guess, as hexadecimal digits, two for each byte."""

    def event(self) -> Event:
        """Return an event that has not happened."""

    def bell(self) -> Bell:
        """Return a bell."""

    def lock(self) -> Lock:
        """Return a lock that nobody holds."""

    def start(self, work: Callable[[], None], *, name: str) -> Task:
        """Let work go on beside the rest; it never keeps the process alive."""

    def shared(self, key: Hashable, make: Callable[[], Shared]) -> Shared:
        """Return the object that this process shares under a key; it is made on first use."""

    def on_signals(self, handlers: Mapping[signal.Signals, Callable[[], None]]) -> None:
        """Call a handler when its signal comes, in place of what the signal does otherwise."""

    def signal(self, process_id: int, number: signal.Signals) -> None:
        """Send a signal to a process; one that is gone is fine."""

    def is_readable(self, stream: _HasFileno, timeout_s: float) -> bool:
        """Wait until a stream has something to read or has ended, ``timeout_s`` seconds at most; return whether."""

    def connect(self, host: str, port: int, timeout_s: float) -> Connection:
        """Return a TCP connection.

        Raises:
            OSError: If there is none within ``timeout_s`` seconds.
        """

    def free_port(self) -> int:
        """Return a TCP port on loopback that nobody listens on now."""

    def http_transport(self) -> BaseTransport | None:
        """Return the transport of HTTP requests, or ``None`` for the client's own."""

    def scratch(self, prefix: str, *, in_memory: bool = False) -> contextlib.AbstractContextManager[Path]:
        """Return a folder of one's own that is gone with the block; ``in_memory``: where files never reach a disk."""


class _HasFileno(Protocol):
    def fileno(self) -> int:
        """Return the file descriptor."""


@dataclass(frozen=True)
class Entry:
    """A file or a folder of a run, read and written through the disk of its world."""

    path: Path
    disk: Disk

    def __truediv__(self, name: str) -> Entry:
        """Return the entry of this folder with this name."""
        return Entry(self.path / name, self.disk)

    def __fspath__(self) -> str:
        """Return the path, for programs that open it themselves."""
        return str(self.path)

    def __str__(self) -> str:
        """Return the path."""
        return str(self.path)

    @property
    def name(self) -> str:
        """Its name in its folder."""
        return self.path.name

    def read_bytes(self) -> bytes:
        """Return its content."""
        return self.disk.read(self.path)

    def read_or_nothing(self) -> bytes:
        """Return its content, empty where it is missing."""
        return self.disk.read(self.path) if self.disk.is_file(self.path) else b""

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return its content as text."""
        return self.disk.read(self.path).decode(encoding, errors)

    def write_bytes(self, content: bytes, mode: int | None = None) -> None:
        """Write it whole or not at all."""
        self.disk.write(self.path, content, mode)

    def append(self, content: bytes, *, synced: bool = False) -> None:
        """Add to its end."""
        self.disk.append(self.path, content, synced=synced)

    def exists(self) -> bool:
        """Return whether there is anything of this name."""
        return self.disk.is_file(self.path) or self.disk.is_dir(self.path)

    def is_file(self) -> bool:
        """Return whether it is a file."""
        return self.disk.is_file(self.path)

    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        return self.disk.is_dir(self.path)

    def size_bytes(self) -> int:
        """Return its size; 0 where it is missing."""
        return self.disk.size_bytes(self.path) if self.disk.is_file(self.path) else 0

    def entries(self) -> list[Entry]:
        """Return the entries of this folder, sorted by name."""
        return [self / name for name in self.disk.names(self.path)]

    def make_folder(self) -> None:
        """Make this folder."""
        self.disk.make_folder(self.path)

    def changed_at(self) -> datetime:
        """Return when it was last changed (UTC)."""
        return self.disk.changed_at(self.path)

    def rename(self, target: Entry) -> None:
        """Give it another name."""
        self.disk.rename(self.path, target.path)

    def unlink(self) -> None:
        """Remove this file; one that is missing is fine."""
        self.disk.remove(self.path)

    def remove_tree(self) -> None:
        """Remove this folder with all in it."""
        self.disk.remove_tree(self.path)


class RealDisk:
    """The disk of this machine."""

    def read(self, path: Path) -> bytes:
        """Return a file's content."""
        return path.read_bytes()

    def write(self, path: Path, content: bytes, mode: int | None = None) -> None:
        """Write a file such that it is there whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, mode)

    def append(self, path: Path, content: bytes, *, synced: bool = False) -> None:
        """Add to the end of a file."""
        with path.open("ab") as file:
            file.write(content)
            if synced:
                file.flush()
                os.fsync(file.fileno())

    def names(self, path: Path) -> list[str]:
        """Return the names in a folder."""
        return sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []

    def is_file(self, path: Path) -> bool:
        """Return whether there is a file of this name."""
        return path.is_file()

    def is_dir(self, path: Path) -> bool:
        """Return whether there is a folder of this name."""
        return path.is_dir()

    def size_bytes(self, path: Path) -> int:
        """Return a file's size."""
        return path.stat().st_size

    def changed_at(self, path: Path) -> datetime:
        """Return when a file was last changed."""
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)

    def make_folder(self, path: Path, *, exist_ok: bool = True, mode: int = 0o777) -> None:
        """Make a folder with all above it."""
        path.mkdir(mode, parents=True, exist_ok=exist_ok)

    def rename(self, path: Path, target: Path) -> None:
        """Give a file or a folder another name."""
        path.replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink(missing_ok=True)

    def remove_tree(self, path: Path) -> None:
        """Remove a folder with all in it."""
        if path.is_dir():
            shutil.rmtree(path)

    @contextlib.contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Hold a lock that the kernel lets go of when this process has ended."""
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as err:
                raise LockedError(str(path)) from err
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)

    def lock_holder(self, path: Path) -> int | None:
        """Return the id of the process that holds a lock."""
        try:
            file = path.open("r")
        except FileNotFoundError:
            return None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                digits = "".join(filter(str.isdigit, file.read(100)))
                return int(digits) if digits else 0
        return None


class _RealLock:
    def __init__(self) -> None:
        self._lock = threading.Lock()

    def acquire(self, timeout_s: float | None = None) -> bool:
        return self._lock.acquire(timeout=-1 if timeout_s is None else timeout_s)

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class _RealEvent:
    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        return self._event.wait(timeout_s)


class _RealBell:
    """A pipe: a signal handler may write to one, and a wait on it ends at once."""

    def __init__(self) -> None:
        ends = self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        weakref.finalize(self, _close, ends)

    def ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it is full of rings already
            os.write(self._write_end, b"!")

    def wait(self, timeout_s: float) -> bool:
        ready, _, _ = select.select([self._read_end], [], [], timeout_s)
        if ready:
            os.read(self._read_end, HIGHEST_READ_BYTES)
        return bool(ready)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class _RealTask:
    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._thread = threading.Thread(target=work, name=name, daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


class RealWorld:
    """This process on this machine."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Take the environment variables that there are now, or those that are given in their place."""
        self._environ = dict(os.environ if environ is None else environ)
        self._disk = RealDisk()
        self._shared: dict[Hashable, object] = {}
        self._shared_lock = threading.Lock()

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment variables."""
        return self._environ

    @property
    def disk(self) -> Disk:
        """The disk of this machine."""
        return self._disk

    @property
    def process_id(self) -> int:
        """This process's id."""
        return os.getpid()

    @property
    def boot_id(self) -> str:
        """What tells this start of this computer from every other; Linux has such an id."""
        try:
            return BOOT_ID.read_text(encoding="ascii")[:BOOT_ID_LENGTH]
        except (OSError, ValueError):
            return ""

    @property
    def home(self) -> Path:
        """The user's home folder."""
        return Path(self._environ.get("HOME") or "~").expanduser()

    @property
    def folder(self) -> Path:
        """The folder in which the command is given."""
        return Path.cwd()

    @property
    def user(self) -> str:
        """The name that the user is logged in by."""
        return getpass.getuser()

    def find_program(self, name: str, *, first: Sequence[Path] = ()) -> Path | None:
        """Return a program by its name, or ``None`` if there is none."""
        folders = (*map(str, first), self._environ.get("PATH", os.defpath))
        found = shutil.which(name, path=os.pathsep.join(folders))
        return None if found is None else Path(found)

    def now(self) -> datetime:
        """Return the time of day."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()

    def boottime_s(self) -> float:
        """Return seconds since some moment, those that this machine slept included."""
        return time.clock_gettime(BOOTTIME)

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        time.sleep(seconds)

    def token(self, size_bytes: int = 8) -> str:
        """Return a new name that nobody can guess."""
        return secrets.token_hex(size_bytes)

    def event(self) -> Event:
        """Return an event that has not happened."""
        return _RealEvent()

    def bell(self) -> Bell:
        """Return a bell."""
        return _RealBell()

    def lock(self) -> Lock:
        """Return a lock that nobody holds."""
        return _RealLock()

    def start(self, work: Callable[[], None], *, name: str) -> Task:
        """Let work go on in a thread of its own, which never keeps the process alive."""
        return _RealTask(work, name)

    def shared(self, key: Hashable, make: Callable[[], Shared]) -> Shared:
        """Return the object that this process shares under a key."""
        with self._shared_lock:
            return cast("Shared", self._shared.setdefault(key, make()))

    def on_signals(self, handlers: Mapping[signal.Signals, Callable[[], None]]) -> None:
        """Call a handler when its signal comes; only the main thread may ask for that."""
        for number, handler in handlers.items():
            signal.signal(number, _without_frame(handler))

    def signal(self, process_id: int, number: signal.Signals) -> None:
        """Send a signal to a process."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, number)

    def is_readable(self, stream: _HasFileno, timeout_s: float) -> bool:
        """Wait until a stream has something to read or has ended."""
        return bool(select.select([stream], [], [], timeout_s)[0])

    def connect(self, host: str, port: int, timeout_s: float) -> Connection:
        """Return a TCP connection."""
        return socket.create_connection((host, port), timeout=timeout_s)

    def free_port(self) -> int:
        """Return a TCP port on loopback that nobody listens on now."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def http_transport(self) -> BaseTransport | None:
        """Return ``None``: requests go over the network."""
        return None

    @contextlib.contextmanager
    def scratch(self, prefix: str, *, in_memory: bool = False) -> Iterator[Path]:
        """Return a folder for its owner alone that is gone with the block."""
        with tempfile.TemporaryDirectory(
            prefix=prefix, dir=MEMORY if in_memory and MEMORY.is_dir() else None
        ) as folder:
            yield Path(folder)


def _without_frame(handler: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        handler()

    return handle
