"""The way in to a machine behind SSH: a connection, the one host key that is taken, and a key to log in with."""

from __future__ import annotations

import errno
import logging
import socket
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.auth_strategy import AuthFailure

from runner.adapters import process
from runner.adapters.process import Child
from runner.adapters.ssh_config import ask_ssh, jump_of
from runner.adapters.ssh_keys import Keys, login_refused
from runner.adapters.surroundings import for_ansible
from runner.errors import ConnectionLostError, HostKeyError
from runner.run.host_words import one_line
from runner.run.models import Host
from runner.run.run_dir import write_file
from runner.world import World

CONNECT_S = 15.0
SILENCE_MS = 15_000
"""How long sent bytes may stay unacknowledged before the kernel gives the connection up (``TCP_USER_TIMEOUT``)."""
ANSWER_S = 20.0
LOST = (paramiko.SSHException, EOFError, OSError)
LAST_WORDS_S = 2.0
"""How long a program that carries a connection may take to end once that is broken."""
LOG = "proxy.log"
"""File beside the run's own configuration that gets what these programs complain about."""
LONGEST_WORDS = 2000
QUIET = logging.NullHandler()
"""For what paramiko's threads log: where nobody has asked for it, Python would write it to the terminal."""
PINNED = "Warning: Permanently added "
"""What ssh says where it pins a host key: no trouble."""


@dataclass(frozen=True)
class Login:
    """A connection that is logged in.

    Attributes:
        client: The connection.
        carrier: The program that carries it, where there is one.
    """

    client: paramiko.SSHClient
    carrier: Child | None

    def close(self) -> None:
        """Let it go, and end the program that carries it."""
        self.client.close()
        # The number of a program that has ended may be another's by now.
        if self.carrier is not None and self.carrier.poll() is None:
            self.carrier.kill()


@dataclass(frozen=True)
class Way:
    """How a machine is got at.

    Attributes:
        identity_file: The one key to log in with, where there is one; the agent is not asked then.
        config: The run's own configuration of ssh, for a machine of the user's own.
    """

    identity_file: str | None = None
    config: Path | None = None


@dataclass(frozen=True)
class _Route:
    """A connection that is open, and what carries it."""

    sock: socket.socket
    keys: Keys
    carrier: Child | None = None
    over: str = ""
    log: Path | None = None
    said_before: int = 0

    def end(self) -> str:
        """End it; return the last words of what carried it."""
        self.sock.close()
        if self.carrier is None or self.log is None:
            return ""
        if self.carrier.wait(LAST_WORDS_S) is None:
            self.carrier.kill()
        said = self.log.read_bytes()[self.said_before :][-LONGEST_WORDS:].decode(errors="replace")
        return one_line("\n".join(line for line in said.splitlines() if not line.startswith(PINNED)))


class PinFirst(paramiko.MissingHostKeyPolicy):
    """Pins the first host key of a run; once one is pinned, no other is taken."""

    def __init__(self, known_hosts: Path, promised: str | None) -> None:
        """Take the key that was ``promised``, or the first that is seen; it is kept in ``known_hosts``."""
        self._known_hosts, self._promised = known_hosts, promised

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Pin the key, or refuse it."""
        shown = f"{key.get_name()} {key.get_base64()}"
        wrong = self._promised is not None and shown != " ".join(self._promised.split()[:2])
        if wrong:
            raise HostKeyError(
                f"ssh: {hostname} shows another host key ({key.get_fingerprint().hex(':')}) than the machine was given",
                resolution="another machine answers at its address, and nothing was sent; `make resume` rents another",
            )
        if self._known_hosts.exists():
            raise wrong_key(hostname, key.get_fingerprint(), self._known_hosts)
        client.get_host_keys().add(hostname, key.get_name(), key)
        write_file(self._known_hosts, f"{hostname} {shown}\n".encode())


def wrong_key(name: str, fingerprint: bytes, known_hosts: Path) -> HostKeyError:
    """Return the error for another host key than the pinned one."""
    return HostKeyError(
        f"ssh: {name} shows another host key ({fingerprint.hex(':')}) than the one pinned in {known_hosts}",
        resolution="find out which machine answers there; if you reinstalled it on purpose, delete that file",
    )


def log_in(world: World, host: Host, known_hosts: Path, way: Way) -> Login:
    """Return a connection that is logged in.

    Args:
        world: Its time and connections.
        host: The machine.
        known_hosts: File of the pinned host key; made with the first one seen.
        way: How it is got at.

    Raises:
        HostKeyError: If the machine shows another host key than the pinned one.
        ConnectionLostError: If it cannot be reached or refuses the login.
        UsageError: If the run's own configuration cannot be read.
    """
    name = f"{host.user}@{host.address}:{host.port}"
    logging.getLogger("paramiko").addHandler(QUIET)
    client = paramiko.SSHClient()
    if known_hosts.exists():
        client.load_host_keys(str(known_hosts))
    client.set_missing_host_key_policy(PinFirst(known_hosts, host.host_key))
    try:
        route = _open(world, host, way)
    except OSError as err:
        raise unreachable(name, err) from err
    try:
        _connect(client, host, route)
    except (HostKeyError, *LOST) as err:
        raise _failed(name, known_hosts, route, client, err) from err
    except BaseException:
        route.end()
        raise
    finally:
        route.keys.close()
    transport = client.get_transport()
    if transport is not None:
        transport.set_keepalive(5)
    return Login(client, route.carrier)


def _connect(client: paramiko.SSHClient, host: Host, route: _Route) -> None:
    client.connect(
        host.address,
        port=host.port,
        username=host.user,
        sock=route.sock,
        timeout=CONNECT_S,
        banner_timeout=CONNECT_S,
        auth_timeout=CONNECT_S,
        channel_timeout=ANSWER_S,
        auth_strategy=route.keys,
    )
    transport = client.get_transport()
    if transport is None or not transport.is_authenticated():
        raise paramiko.AuthenticationException("a key is not enough there: it asks for a password or a code as well")


def _failed(
    name: str, known_hosts: Path, route: _Route, client: paramiko.SSHClient, err: BaseException
) -> ConnectionLostError | HostKeyError:
    """Return the error for a login that failed; what carried the connection may know why."""
    transport = client.get_transport()
    hung_up = transport is None or not transport.is_active()
    client.close()
    said = route.end()
    if isinstance(err, HostKeyError):
        return err
    if isinstance(err, paramiko.BadHostKeyException):
        return wrong_key(name, err.key.get_fingerprint(), known_hosts)
    if isinstance(err, AuthFailure):
        return login_refused(name, route.keys, err, hung_up=hung_up)
    if isinstance(err, paramiko.AuthenticationException):
        return ConnectionLostError(
            f"ssh: {name} refuses the login: {err}", resolution="let it take a key alone, for this user"
        )
    if route.carrier is not None:
        return ConnectionLostError(
            f"ssh: cannot reach {name} over {route.over}: {said or str(err) or type(err).__name__}",
            resolution="see that this way works without a question: ProxyJump and ProxyCommand in ~/.ssh/config",
        )
    return unreachable(name, err)


def unreachable(name: str, err: BaseException) -> ConnectionLostError:
    """Return the error for a machine that cannot be reached, in the words of its cause."""
    says = str(err) or type(err).__name__
    remedy = "check that the machine is on and reachable; `make watch` follows a run that has begun"
    if isinstance(err, socket.gaierror):
        says = "nobody knows this name: it is neither in ~/.ssh/config nor in the DNS"
        remedy = "correct HOST=, or HostName in ~/.ssh/config"
    elif isinstance(err, ConnectionRefusedError):
        says = "nothing listens at this port (connection refused)"
        remedy = "check the port, and that sshd runs there; `make watch` follows a run that has begun"
    elif isinstance(err, OSError) and err.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        says = "no route leads there"
        remedy = "check the address and your network; a machine behind a bastion needs ProxyJump in ~/.ssh/config"
    elif isinstance(err, TimeoutError) and err.errno is None and "answer" not in says:
        says = "nobody answers there"
    return ConnectionLostError(f"ssh: cannot reach {name}: {says}", resolution=remedy)


def _open(world: World, host: Host, way: Way) -> _Route:
    """Open the connection, over what the run's own configuration says."""
    usual = world.home / ".ssh"
    if way.config is None:
        files = None if way.identity_file is None else [way.identity_file]
        keys = Keys(host.user, files, usual, asks_agent=files is None)
        return _Route(open_socket(world, host.address, host.port), keys)
    hop = ask_ssh(world, way.config, host.address)
    keys = Keys(host.user, hop.identity_files, usual)
    if hop.is_direct:
        return _Route(open_socket(world, host.address, host.port), keys)
    environ, log = for_ansible(world.environ), way.config.with_name(LOG)
    over, name = "its ProxyCommand", jump_of(hop)
    if name is not None:
        jump = ask_ssh(world, way.config, name)
        over = f"{jump.user}@{jump.address}:{jump.port}"
    argv = [environ.get("SHELL", "/bin/sh"), "-c", f"exec {hop.command}"]
    said_before = log.stat().st_size if log.exists() else 0
    sock, carrier = process.tunnel(argv, log=log, env=environ)
    return _Route(sock, keys, carrier, over, log, said_before)


def open_socket(world: World, address: str, port: int) -> socket.socket:
    """Return a connection that a silent network ends within seconds."""
    sock = world.connect(address, port, CONNECT_S)
    if not isinstance(sock, socket.socket):
        raise TypeError("SSH needs a real connection")  # a virtual world has a stand-in of SSH, not of its sockets
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_USER_TIMEOUT", SILENCE_MS), ("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5)):
        option = getattr(socket, name, None)  # not all of them are on every system
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock
