"""A machine behind SSH: host key pinned on first sight, strict from then on, every wait with an end."""

from __future__ import annotations

import contextlib
import posixpath
import shlex
import socket
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import paramiko

from runner.adapters.process import POLL_S, Cancel, ToolCancelledError, ToolTimeoutError
from runner.errors import ConnectionLostError, HostKeyError, TransferError
from runner.run.events import LOOK_BYTES
from runner.run.host_words import checked_path
from runner.run.models import Completed, Host
from runner.run.run_dir import write_file
from runner.world import World

CONNECT_S = 15.0
ANSWER_S = 20.0
SILENCE_MS = 15_000
"""How long sent bytes may stay unacknowledged before the kernel gives the connection up (``TCP_USER_TIMEOUT``)."""
LOST = (paramiko.SSHException, EOFError, OSError)

Result = TypeVar("Result")


class SshMachine:
    """A machine one can log in to."""

    def __init__(self, world: World, host: Host, known_hosts: Path, identity_file: str | None = None) -> None:
        """Connect with the first use; ``known_hosts`` is made with the first host key seen."""
        self._world, self._host, self._known_hosts, self._identity = world, host, known_hosts, identity_file
        self._client: paramiko.SSHClient | None = None
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
        transport = self._client.get_transport() if self._client else None
        if transport is not None and transport.is_active():
            return
        self.close()
        self._client = self._log_in()

    def _log_in(self) -> paramiko.SSHClient:
        host, client = self._host, paramiko.SSHClient()
        if self._known_hosts.exists():
            client.load_host_keys(str(self._known_hosts))
        client.set_missing_host_key_policy(_PinFirst(self._known_hosts, host.host_key))
        try:
            sock = _open_socket(self._world, host.address, host.port)
            client.connect(
                host.address,
                port=host.port,
                username=host.user,
                key_filename=self._identity,
                look_for_keys=self._identity is None,
                allow_agent=self._identity is None,
                sock=sock,
                timeout=CONNECT_S,
                banner_timeout=CONNECT_S,
                auth_timeout=CONNECT_S,
                channel_timeout=ANSWER_S,
            )
        except paramiko.BadHostKeyException as err:
            raise _wrong_key(self.name, err.key.get_fingerprint(), self._known_hosts) from err
        except paramiko.AuthenticationException as err:
            raise ConnectionLostError(
                f"ssh: {self.name} refuses the login",
                details=str(err),
                resolution=f"check that `ssh -p {host.port} {host.user}@{host.address}` works without a password",
            ) from err
        except LOST as err:
            raise self._lost(err) from err
        transport = client.get_transport()
        if transport is not None:
            transport.set_keepalive(5)
        return client

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
        with self._lasting():
            channel = self._transport().open_session(timeout=ANSWER_S)
            with channel:
                channel.exec_command(shlex.join(words))
                channel.shutdown_write()
                return _until_end(self._world, channel, tuple(argv), timeout_s, cancel)

    def put(self, source: Path, target: str) -> None:
        """Bring a file or a folder there."""
        if source.is_dir():
            self._make_folder(target)
            for entry in sorted(source.iterdir()):
                self.put(entry, posixpath.join(target, entry.name))
            return
        self._make_folder(posixpath.dirname(target))
        part = posixpath.join(posixpath.dirname(target), f".{posixpath.basename(target)}.part")

        def send(sftp: paramiko.SFTPClient) -> None:
            sftp.put(str(source), part, confirm=True)
            sftp.chmod(part, stat.S_IMODE(source.stat().st_mode))
            sftp.posix_rename(part, target)

        self._do(send)

    def get(self, source: str, target: Path) -> None:
        """Fetch a file or a folder."""
        if self._is_folder(source):
            target.mkdir(parents=True, exist_ok=True)
            for name in self.names(source):
                self.get(posixpath.join(source, name), target / name)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        self._do(lambda sftp: sftp.get(source, str(part)))
        part.replace(target)

    def read_from(self, path: str, offset: int) -> bytes:
        """Return at most ``LOOK_BYTES`` of a file from a byte offset."""

        def read(sftp: paramiko.SFTPClient) -> bytes:
            try:
                with sftp.open(path, "rb") as file:
                    file.seek(offset)
                    return file.read(LOOK_BYTES)
            except FileNotFoundError:
                return b""

        return self._do(read)

    def names(self, path: str) -> list[str]:
        """Return the names in a folder."""

        def listing(sftp: paramiko.SFTPClient) -> list[str]:
            try:
                return sorted(sftp.listdir(path))
            except FileNotFoundError:
                return []

        return self._do(listing)

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
        """Return the free space where ``path`` is or will be."""
        while not self.exists(path):
            path = posixpath.dirname(path)
        fields = self.run(["df", "-Pk", path], timeout_s=ANSWER_S).stdout.splitlines()[-1].split()
        return int(fields[3]) * 1024

    def close(self) -> None:
        """Let the connection go."""
        if self._client is not None:
            self._client.close()
        self._client = self._sftp = None

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
        if self.exists(path):
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
        transport = self._client.get_transport() if self._client else None
        if transport is None:
            raise paramiko.SSHException("the connection was closed")
        return transport

    def _do(self, action: Callable[[paramiko.SFTPClient], Result]) -> Result:
        with self._lasting():
            self.connect()
            if self._sftp is None and self._client is not None:
                self._sftp = self._client.open_sftp()
                channel = self._sftp.get_channel()
                if channel is not None:
                    channel.settimeout(ANSWER_S)
            if self._sftp is None:
                raise paramiko.SSHException("the connection was closed")
            return action(self._sftp)

    @contextlib.contextmanager
    def _lasting(self) -> Iterator[None]:
        """Turn whatever a broken connection raises into one error, and forget the connection."""
        try:
            yield
        except (PermissionError, IsADirectoryError, FileNotFoundError) as err:
            raise TransferError(f"ssh: {self.name}: {err}", resolution="check the folder and its owner there") from err
        except LOST as err:
            self.close()
            raise self._lost(err) from err

    def _lost(self, err: BaseException) -> ConnectionLostError:
        return ConnectionLostError(
            f"ssh: cannot reach {self.name}: {str(err) or type(err).__name__}",
            resolution="check that the machine is on and reachable, then `make watch`",
        )


def _is_there(sftp: paramiko.SFTPClient, path: str) -> bool:
    try:
        sftp.stat(path)
    except FileNotFoundError:
        return False
    return True


class _PinFirst(paramiko.MissingHostKeyPolicy):
    """Pins the first host key of a run; once one is pinned, no other is taken."""

    def __init__(self, known_hosts: Path, promised: str | None) -> None:
        self._known_hosts, self._promised = known_hosts, promised

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        shown = f"{key.get_name()} {key.get_base64()}"
        wrong = self._promised is not None and shown != " ".join(self._promised.split()[:2])
        if wrong:
            raise HostKeyError(
                f"ssh: {hostname} shows another host key ({key.get_fingerprint().hex(':')}) than the machine was given",
                resolution="another machine answers at its address, and nothing was sent; `make resume` rents another",
            )
        if self._known_hosts.exists():
            raise _wrong_key(hostname, key.get_fingerprint(), self._known_hosts)
        client.get_host_keys().add(hostname, key.get_name(), key)
        write_file(self._known_hosts, f"{hostname} {shown}\n".encode())


def _wrong_key(name: str, fingerprint: bytes, known_hosts: Path) -> HostKeyError:
    return HostKeyError(
        f"ssh: {name} shows another host key ({fingerprint.hex(':')}) than the one pinned in {known_hosts}",
        resolution="find out which machine answers there; if you reinstalled it on purpose, delete that file",
    )


def _open_socket(world: World, address: str, port: int) -> socket.socket:
    sock = world.connect(address, port, CONNECT_S)
    if not isinstance(sock, socket.socket):
        raise TypeError("SSH needs a real connection")  # a virtual world has a stand-in of SSH, not of its sockets
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_USER_TIMEOUT", SILENCE_MS), ("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5)):
        option = getattr(socket, name, None)  # not all of them are on every system
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock


def _until_end(
    world: World, channel: paramiko.Channel, argv: tuple[str, ...], timeout_s: float, cancel: Cancel | None
) -> Completed:
    deadline, out, err = world.monotonic_s() + timeout_s, bytearray(), bytearray()
    channel.settimeout(POLL_S)
    while (chunk := _receive(channel, out, err)) != b"" or not channel.exit_status_ready():
        if chunk == b"" and channel.closed:
            break
        if cancel is not None and cancel():
            raise ToolCancelledError(f"ssh: {argv[0]} was stopped on request", resolution="continue with `make resume`")
        if world.monotonic_s() > deadline:
            raise ToolTimeoutError(
                f"ssh: {argv[0]} did not finish within {timeout_s:.0f} s",
                resolution="see what it does there: `make ssh`",
            )
        if chunk == b"":
            channel.status_event.wait(POLL_S)
    _receive(channel, out, err)
    code = channel.recv_exit_status()
    if code == -1:  # the channel ended without a status: the connection, not the program
        raise paramiko.SSHException("the connection broke while a program ran")
    return Completed(argv, code, out.decode(errors="replace"), err.decode(errors="replace"))


def _receive(channel: paramiko.Channel, out: bytearray, err: bytearray) -> bytes | None:
    """Read what is there of both streams; ``None`` when there is nothing yet, empty at the end of standard output."""
    while channel.recv_stderr_ready():
        err += channel.recv_stderr(65536)
    try:
        chunk = channel.recv(65536)
    except TimeoutError:
        return None
    out += chunk
    return chunk
