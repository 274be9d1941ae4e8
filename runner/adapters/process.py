"""Programs: the only module that imports ``subprocess``. An argv list, a timeout and a process group, always."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

from runner.errors import EXIT_INTERRUPTED, ToolError
from runner.run.models import Completed

POLL_S = 0.2
GRACE_S = 20.0
"""How long a program may take to end after SIGINT, before SIGKILL."""

Cancel = Callable[[], bool]
OnLine = Callable[[str], None]


class ToolMissingError(ToolError):
    """The program is not on this machine."""


class ToolTimeoutError(ToolError):
    """The program did not end in time."""


class ToolCancelledError(ToolError):
    """The program was ended because the run has to stop."""

    exit_code = EXIT_INTERRUPTED


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    umask: int = -1,
    log: Path | None = None,
    on_line: OnLine | None = None,
    cancel: Cancel | None = None,
    grace_s: float | None = None,
    hurry: Cancel | None = None,
) -> Completed:
    """Run a program to its end, in a process group of its own so that Ctrl-C reaches the runner alone.

    Args:
        argv: Program and arguments; no shell reads them.
        timeout_s: Longest time it may take, in seconds.
        cwd: Folder to run in.
        env: Variables on top of ``environ``.
        environ: All other variables; this process's by default.
        umask: Permission bits that the files it makes never have; this process's by default.
        log: File that gets a copy of both streams.
        on_line: Called with each line of its standard output as it comes.
        cancel: Asked several times a second; when it says yes, the group gets SIGINT, time to end, then SIGKILL.
        grace_s: How much time that is, in seconds; ``GRACE_S`` by default.
        hurry: Asked during that time; once it says yes, ``GRACE_S`` more is all that there is.

    Raises:
        ToolMissingError: If there is no such program.
        ToolTimeoutError: If it did not end in time; its group is gone.
        ToolCancelledError: If ``cancel`` said yes; its group is gone.
    """
    with _starting(argv[0]):
        child = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env={**(os.environ if environ is None else environ), **(env or {})},
            umask=umask,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    with child:
        watch = _Watch(child, tuple(argv), log, on_line, GRACE_S if grace_s is None else grace_s, hurry)
        try:
            return watch.until_end(timeout_s, cancel)
        except BaseException:
            if child.poll() is None:  # whoever takes its lines has failed, and nobody reads them from here on
                watch.end_group()
            raise


def start(argv: Sequence[str], *, log: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Child:
    """Start a program that goes on by itself, in a process group of its own; both its streams go to ``log``.

    Args:
        argv: Program and arguments; no shell reads them.
        log: File that gets both streams; its folder is there.
        cwd: Folder to run in.
        env: The whole environment, or ``None`` for this process's.

    Raises:
        ToolMissingError: If there is no such program.
    """
    with _starting(argv[0]), log.open("ab") as file:
        child = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return Child(child)


def tunnel(argv: Sequence[str], *, log: Path, env: Mapping[str, str]) -> tuple[socket.socket, Child]:
    """Start a program that carries a connection over its standard streams; return our end of it, and the program.

    Args:
        argv: Program and arguments; no shell reads them.
        log: File that gets what it complains about; its folder is there.
        env: The whole environment.

    Raises:
        ToolMissingError: If there is no such program.
    """
    ours, theirs = socket.socketpair()
    try:
        with _starting(argv[0]), log.open("ab") as file, theirs:
            end = theirs.fileno()
            child = subprocess.Popen(
                list(argv), env=dict(env), stdin=end, stdout=end, stderr=file, start_new_session=True
            )
    except ToolMissingError:
        ours.close()
        raise
    return ours, Child(child)


def start_heard(argv: Sequence[str], heard: int, *, is_terminal: bool) -> Child:
    """Start a program in a session of its own whose words go to ``heard``: a pipe, or a terminal that is its own.

    Raises:
        ToolMissingError: If there is no such program.
    """
    with _starting(argv[0]):
        child = subprocess.Popen(
            list(argv),
            stdin=heard if is_terminal else subprocess.DEVNULL,
            stdout=heard,
            stderr=heard,
            start_new_session=True,
            preexec_fn=_take_the_terminal if is_terminal else None,  # noqa: PLW1509 - nothing else runs by then
        )
    return Child(child)


def _take_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def start_apart(argv: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str]) -> Apart:
    """Start a program that leaves this process's tree by itself, and listens to it by a pipe as long as both live.

    Args:
        argv: Program and arguments; no shell reads them.
        log: File that gets what it complains about; its folder is there.
        cwd: Folder to start in.
        env: The whole environment.

    Raises:
        ToolMissingError: If there is no such program.
    """
    with _starting(argv[0]), log.open("ab") as file:
        child = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            bufsize=0,
            start_new_session=True,
        )
    os.set_blocking(_pipe(child.stdin).fileno(), False)
    return Apart(child)


def leave_tree() -> None:
    """Go on as a child of nobody's: whoever kills the process that started this, and all below it, does not find it.

    The process that was started itself ends here.
    """
    if os.fork():
        os._exit(0)


def become(argv: Sequence[str]) -> NoReturn:
    """Become another program; it has the terminal from here on.

    Raises:
        ToolMissingError: If there is no such program.
    """
    sys.stdout.flush()
    try:
        os.execvp(argv[0], list(argv))  # noqa: S606 - an argv list, no shell
    except OSError as err:
        raise _missing(argv[0], err) from err


class Child:
    """A program that goes on by itself; whoever started it has to end it."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        """Keep the process."""
        self._child = child

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._child.pid

    def poll(self) -> int | None:
        """Return its exit status, or ``None`` while it runs."""
        return self._child.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Wait for its end; return its exit status, or ``None`` when it still runs."""
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its group; a group that is gone is fine."""
        try:
            os.killpg(self._child.pid, number)
        except ProcessLookupError:
            return

    def end(self, timeout_s: float = GRACE_S) -> int:
        """End it: SIGTERM to its group, time to end, then SIGKILL. Returns its exit status."""
        if self.poll() is None:
            self.signal(signal.SIGTERM)
            self.wait(timeout_s)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL whatever is left of its group; return its exit status."""
        self.signal(signal.SIGKILL)
        return self._child.wait()


class Apart:
    """A program that goes on without this process, and hears from it as long as it lives."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        """Keep the process, whose own child is the program in question."""
        self._child, self._lock = child, threading.Lock()

    def say(self, line: bytes) -> bool:
        """Send a line; return whether there is somebody to read it. One that reads nothing holds nobody up."""
        with self._lock:
            try:
                return _pipe(self._child.stdin).write(line) == len(line)
            except (OSError, ValueError):  # it has ended, or this side was closed
                return False

    def first_line(self, timeout_s: float, cancel: Cancel = lambda: False) -> bytes:
        """Return the first line that it writes, waiting so long at most; empty where it wrote none.

        Args:
            timeout_s: Longest wait, in seconds.
            cancel: Asked several times a second; when it says yes, nobody waits any longer.
        """
        stream, line, deadline = _pipe(self._child.stdout), bytearray(), time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, min(POLL_S, deadline - time.monotonic()))):
                    if cancel() or time.monotonic() >= deadline:
                        break
                    continue
                chunk = os.read(stream.fileno(), 65536)
                if not chunk:
                    break
                line += chunk
        stream.close()
        if line:
            self._child.wait()  # what was started itself has ended by then
        return bytes(line)

    def end(self) -> None:
        """Close the pipe, and end what is left of the process that was started itself."""
        with contextlib.suppress(OSError):
            _pipe(self._child.stdin).close()
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()


class _Watch:
    """Reads both streams of a child until it ends."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        argv: tuple[str, ...],
        log: Path | None,
        on_line: OnLine | None,
        grace_s: float,
        hurry: Cancel | None,
    ) -> None:
        self._child, self._argv, self._on_line, self._grace_s = child, argv, on_line, grace_s
        self._log, self._hurry = log, hurry
        self._text: dict[str, bytearray] = {"out": bytearray(), "err": bytearray()}
        self._shown = 0

    def until_end(self, timeout_s: float, cancel: Cancel | None) -> Completed:
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(_pipe(self._child.stdout), selectors.EVENT_READ, "out")
            selector.register(_pipe(self._child.stderr), selectors.EVENT_READ, "err")
            while selector.get_map():
                self._read(selector, POLL_S)
                if self._child.poll() is not None:
                    self._drain(selector)
                    break
                self._end_if_due(deadline, timeout_s, cancel)
        while self._child.poll() is None:  # it closed its streams and lives on
            self._end_if_due(deadline, timeout_s, cancel)
            time.sleep(POLL_S / 4)
        return Completed(self._argv, self._child.returncode, self._string("out"), self._string("err"))

    def _string(self, stream: str) -> str:
        return self._text[stream].decode(errors="replace")

    def _read(self, selector: selectors.BaseSelector, wait_s: float) -> bool:
        ready = selector.select(wait_s)
        for key, _ in ready:
            chunk = os.read(key.fd, 65536)
            if not chunk:
                selector.unregister(key.fileobj)
                continue
            self._text[key.data] += chunk
            if self._log is not None:
                with self._log.open("ab") as file:
                    file.write(chunk)
            if key.data == "out":
                self._show_lines()
        return bool(ready)

    def _drain(self, selector: selectors.BaseSelector) -> None:
        """Read what is left; a detached grandchild may hold the pipes open for ever, so never wait for their end."""
        while selector.get_map() and self._read(selector, 0.0):
            pass

    def _show_lines(self) -> None:
        if self._on_line is None:
            return
        while (end := self._text["out"].find(b"\n", self._shown)) >= 0:
            self._on_line(self._text["out"][self._shown : end].decode(errors="replace"))
            self._shown = end + 1

    def _end_if_due(self, deadline: float, timeout_s: float, cancel: Cancel | None) -> None:
        name = Path(self._argv[0]).name
        if cancel is not None and cancel():
            self.end_group()
            raise ToolCancelledError(
                f"process: {name} was stopped on request", resolution="continue with `make resume`"
            )
        if time.monotonic() > deadline:
            self.end_group()
            raise ToolTimeoutError(
                f"process: {name} did not finish within {timeout_s:.0f} s",
                details="\n".join((self._string("err") or self._string("out")).splitlines()[-12:]) or None,
                resolution="see what it waited for: `make logs`",
            )

    def end_group(self) -> None:
        """SIGINT to the group, time to end, then SIGKILL to whatever is left of it."""
        for number in (signal.SIGINT, signal.SIGKILL):
            try:
                os.killpg(self._child.pid, number)
            except ProcessLookupError:
                break
            if number == signal.SIGKILL:
                self._child.wait()
            elif self._ends_in_time():
                break
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _ends_in_time(self) -> bool:
        """Return whether the program ends in the time that it has for that; less, once somebody is in a hurry."""
        deadline, is_hurried = time.monotonic() + self._grace_s, False
        while self._child.poll() is None and time.monotonic() < deadline:
            if not is_hurried and self._hurry is not None and self._hurry():
                deadline, is_hurried = min(deadline, time.monotonic() + GRACE_S), True
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(min(POLL_S, max(0.0, deadline - time.monotonic())))
        return self._child.poll() is not None


@contextlib.contextmanager
def _starting(program: str) -> Iterator[None]:
    """Start a program in the block; one that there is not, or that may not be run, is an error of ours."""
    try:
        yield
    except (FileNotFoundError, PermissionError) as err:
        raise _missing(program, err) from err


def _missing(program: str, err: OSError) -> ToolMissingError:
    return ToolMissingError(
        f"process: cannot run {program}: {err.strerror}",
        resolution=f"install {Path(program).name}, then repeat the command",
    )


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ToolError(
            "process: the program has no output stream",
            resolution="a defect of Douse: repeat the command; see `make logs`",
        )
    return stream
