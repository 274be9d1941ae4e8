"""A machine behind SSH: host key pinned on first sight, strict from then on, every wait with an end."""

from __future__ import annotations

import contextlib
import math
import posixpath
import re
import shlex
import stat
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import paramiko

from runner.adapters.background import awaited
from runner.adapters.machine import Allowance
from runner.adapters.process import Cancel, ToolCancelledError
from runner.adapters.receive import Receiver, listing, moved_in_when_whole
from runner.adapters.ssh_login import ANSWER_S, LOST, Login, Way, log_in, unreachable
from runner.adapters.ssh_program import until_end
from runner.errors import NO_ROOM, TransferError
from runner.run.events import LOOK_BYTES
from runner.run.host_words import checked_path
from runner.run.models import Completed, Host
from runner.world import World

GARBLED = (paramiko.SFTPError, struct.error, ValueError, LookupError, ArithmeticError, AssertionError)
"""What paramiko raises for an answer that breaks the protocol; whoever sends such a one is as good as gone."""
PATIENCE_S = 60.0
"""How long a request may take in all, the login included; a server may answer for ever and never to the point."""
MOST_NAMES = 10_000
DF_ROW = re.compile(r"\s\d+\s+-?\d+\s+(-?\d{1,18})\s+(?:\d+%|-)\s")
"""Blocks, used, free and the share of a disk; before and after them are names, which may hold spaces."""

Result = TypeVar("Result")


class SshMachine:
    """A machine one can log in to."""

    def __init__(
        self,
        world: World,
        host: Host,
        known_hosts: Path,
        way: Way = Way(),  # noqa: B008 - it is frozen
        *,
        is_urgent: Cancel = lambda: False,
    ) -> None:
        """Connect with the first use.

        Args:
            world: Its time and connections.
            host: The machine.
            known_hosts: Made with the first host key seen.
            way: How it is got at; directly and with the user's own keys by default.
            is_urgent: Returns whether the user has lost patience; what goes on at that moment is given up.
        """
        self._world, self._host, self._known_hosts, self._way = world, host, known_hosts, way
        self._is_urgent, self._closed_times = is_urgent, 0
        self._login: Login | None = None
        self._sftp: paramiko.SFTPClient | None = None
        self._home: str | None = None

    @property
    def name(self) -> str:
        """Return ``user@address:port``."""
        return f"{self._host.user}@{self._host.address}:{self._host.port}"

    @property
    def home(self) -> str:
        """Return the user's home folder there.

        Raises:
            HostWordsError: If it is no plain path: it goes into templates, commands and paths.
            ConnectionLostError: If the machine cannot be reached.
        """
        if self._home is None:
            self._home = checked_path(self._do(lambda sftp: sftp.normalize(".")), "home folder")
        return self._home

    def connect(self) -> None:
        """Open the connection, unless it is open.

        Raises:
            HostKeyError: If the machine shows another host key than the pinned one.
            ConnectionLostError: If it cannot be reached or refuses the login.
        """
        transport = self._login.client.get_transport() if self._login else None
        if transport is not None and transport.is_active():
            return
        self.close()
        before = self._closed_times
        login = log_in(self._world, self._host, self._known_hosts, self._way)
        if self._closed_times != before:
            login.close()
            raise paramiko.SSHException("the login was given up")
        self._login = login

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cancel: Cancel | None = None,
    ) -> Completed:
        """Run a program there to its end; no shell reads the arguments.

        Raises:
            ConnectionLostError: If the connection broke; the program may still run there.
            ToolTimeoutError: If it did not end in time.
            ToolCancelledError: If ``cancel`` said yes.
        """
        words = [*(["env", *(f"{key}={value}" for key, value in env.items())] if env else []), *argv]
        given_up = self._given_up(cancel)
        with self._lasting(), self._awaited(lambda: self._begin(shlex.join(words)), given_up, PATIENCE_S) as channel:
            return until_end(self._world, channel, tuple(argv), timeout_s, given_up)

    def _begin(self, command: str) -> paramiko.Channel:
        channel = self._transport().open_session(timeout=ANSWER_S)
        channel.exec_command(command)
        channel.shutdown_write()
        return channel

    def put(self, source: Path, target: str, *, cancel: Cancel | None = None) -> None:
        """Bring a file or a folder there; without ``cancel`` each file has a minute."""
        if source.is_dir():
            self._make_folder(target)
            for entry in sorted(source.iterdir()):
                self.put(entry, posixpath.join(target, entry.name), cancel=cancel)
            return
        self._make_folder(posixpath.dirname(target))
        part = posixpath.join(posixpath.dirname(target), f".{posixpath.basename(target)}.part")

        def send(sftp: paramiko.SFTPClient) -> None:
            sftp.put(str(source), part, confirm=True)
            sftp.chmod(part, stat.S_IMODE(source.stat().st_mode))
            sftp.posix_rename(part, target)

        self._do(send, cancel)

    def get(self, source: str, target: Path, allowance: Allowance, *, cancel: Cancel | None = None) -> None:
        """Fetch a file or a folder; it takes its place when it is here as a whole.

        Raises:
            TransferError: If it is more than is allowed, or holds a link, a device or a name that leads elsewhere.
            ConnectionLostError: If the connection broke.
            ToolCancelledError: If ``cancel`` said yes.
        """
        with moved_in_when_whole(self._world.disk, target) as place:
            self._do(lambda sftp: Receiver(sftp, allowance).receive(source, place), cancel)

    def read_from(self, path: str, offset: int) -> bytes:
        """Return at most ``LOOK_BYTES`` of a file from a byte offset."""

        def read(sftp: paramiko.SFTPClient) -> bytes:
            try:
                with sftp.open(path, "rb") as file:
                    file.seek(offset)
                    return file.read(LOOK_BYTES)[:LOOK_BYTES]
            except FileNotFoundError:
                return b""

        return self._do(read)

    def names(self, path: str) -> list[str]:
        """Return the names in a folder."""

        def look(sftp: paramiko.SFTPClient) -> list[str]:
            try:
                return [entry.filename for entry in listing(sftp, path, MOST_NAMES)]
            except FileNotFoundError:
                return []

        return self._do(look)

    def exists(self, path: str) -> bool:
        """Return whether there is a file or folder."""
        return self._mode(path) is not None

    def remove_tree(self, path: str) -> None:
        """Remove a file or a folder with all it holds."""
        done = self.run(["rm", "-rf", "--", path], timeout_s=300)
        if done.exit_code != 0:
            raise TransferError(
                f"ssh: cannot remove {path} on {self.name}",
                details=done.last_words,
                resolution=f"remove it by hand: `make ssh`, then `rm -rf {path}`",
            )

    def free_bytes(self, path: str) -> int:
        """Return the free space where ``path`` is or will be.

        Raises:
            TransferError: If the machine's ``df`` does not say.
        """
        while path not in ("", "/") and not self.exists(path):
            path = posixpath.dirname(path)
        done = self.run(["df", "-Pk", path or "."], timeout_s=ANSWER_S)
        found = DF_ROW.findall(done.stdout)
        if not found:
            raise TransferError(
                f"ssh: {self.name} does not say how much space is free under {path}",
                details=done.last_words or None,
                resolution=f"see what it says there: `make ssh`, then `df -Pk {path}`",
            )
        return max(0, int(found[-1])) * 1024

    def close(self) -> None:
        """Let the connection go."""
        if self._login is not None:
            self._login.close()
        self._login = self._sftp = None
        self._closed_times += 1

    def _mode(self, path: str) -> int | None:
        def look(sftp: paramiko.SFTPClient) -> int | None:
            try:
                return sftp.stat(path).st_mode
            except FileNotFoundError:
                return None

        return self._do(look)

    def _is_folder(self, path: str) -> bool:
        mode = self._mode(path)
        return mode is not None and stat.S_ISDIR(mode)

    def _make_folder(self, path: str) -> None:
        if path in ("", "/") or self.exists(path):
            return
        self._make_folder(posixpath.dirname(path))

        def make(sftp: paramiko.SFTPClient) -> None:
            try:
                sftp.mkdir(path, 0o755)
            except OSError:
                if not _is_there(sftp, path):  # else another connection of ours was quicker
                    raise

        self._do(make)

    def _transport(self) -> paramiko.Transport:
        self.connect()
        transport = self._login.client.get_transport() if self._login else None
        if transport is None:
            raise paramiko.SSHException("the connection was closed")
        return transport

    def _do(self, action: Callable[[paramiko.SFTPClient], Result], cancel: Cancel | None = None) -> Result:
        """Return the result of a request; one with ``cancel`` may take as long as that allows, any other a minute."""
        limit_s = PATIENCE_S if cancel is None else math.inf
        with self._lasting():
            return self._awaited(lambda: action(self._files()), self._given_up(cancel), limit_s)

    def _files(self) -> paramiko.SFTPClient:
        self.connect()
        if self._sftp is None and self._login is not None:
            self._sftp = self._login.client.open_sftp()
            channel = self._sftp.get_channel()
            if channel is not None:
                channel.settimeout(ANSWER_S)
        if self._sftp is None:
            raise paramiko.SSHException("the connection was closed")
        return self._sftp

    def _given_up(self, cancel: Cancel | None) -> Cancel:
        """Return whether what begins now is given up: ``cancel`` says so, or the user has lost patience since."""
        was_urgent = self._is_urgent()
        return lambda: (cancel is not None and cancel()) or (self._is_urgent() and not was_urgent)

    def _awaited(self, work: Callable[[], Result], given_up: Cancel, limit_s: float) -> Result:
        """Return the result of a request that the server may never answer."""
        deadline = self._world.monotonic_s() + limit_s

        def waits() -> None:
            if given_up():
                raise ToolCancelledError(
                    f"ssh: {self.name} was asked no further: stopped on request, or its time is over",
                    resolution="continue with `make resume`",
                )
            if self._world.monotonic_s() > deadline:
                raise TimeoutError(f"no answer within {limit_s:.0f} s")

        return awaited(self._world, work, name="ssh", waits=waits)

    @contextlib.contextmanager
    def _lasting(self) -> Iterator[None]:
        """Turn whatever a broken connection raises into one error, and forget the connection.

        That the disk here takes nothing is no fault of the connection: it stays what it is.
        """
        try:
            yield
        except (FileExistsError, PermissionError, IsADirectoryError, FileNotFoundError) as err:
            raise TransferError(f"ssh: {self.name}: {err}", resolution="check the folder and its owner there") from err
        except (ToolCancelledError, TransferError):
            self.close()  # answers to what was given up may still come
            raise
        except (*LOST, *GARBLED) as err:
            self.close()
            if isinstance(err, OSError) and err.errno in NO_ROOM:
                raise
            raise unreachable(self.name, err) from err


def _is_there(sftp: paramiko.SFTPClient, path: str) -> bool:
    try:
        sftp.stat(path)
    except FileNotFoundError:
        return False
    return True
