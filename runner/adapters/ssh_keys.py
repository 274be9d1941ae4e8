"""The keys that a login offers, and why none of them is taken: in words that name the file or the agent."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from paramiko.auth_strategy import AuthFailure, AuthSource, AuthStrategy, InMemoryPrivateKey, SourceResult

from runner.errors import ConnectionLostError, counted
from runner.run.host_words import one_line

USUAL = ("id_rsa", "id_ecdsa", "id_ed25519")
PUBLIC = (b"ssh-", b"ecdsa-", b"sk-")
"""How the public half of a key begins."""
NAME_ONE = "name the right one: IdentityFile in ~/.ssh/config, or SET=compute.identity_file=…"


@dataclass(frozen=True)
class Trouble:
    """Why a key cannot be offered.

    Attributes:
        says: What is wrong with it.
        remedy: What to do.
    """

    says: str
    remedy: str


@dataclass
class Keys(AuthStrategy):
    """The keys of a login, in the order of ssh: those of the agent first, of these only the ones that are named.

    Attributes:
        user: Who logs in.
        files: Private keys that are named; ``None`` takes all of the agent and the usual files, none the agent's alone.
        folder: Folder of the usual files.
        asks_agent: Whether the agent is asked: a rented machine has a key of the run's own.
        troubles: Why files were not offered.
        offered: What was offered, in words.
        agent: The connection to the agent, once it was asked.
        transport: The connection to the machine, once it is there.
    """

    user: str
    files: Sequence[str] | None
    folder: Path
    asks_agent: bool = True
    troubles: list[Trouble] = field(default_factory=list)
    offered: list[str] = field(default_factory=list)
    agent: paramiko.Agent | None = None
    transport: paramiko.Transport | None = None

    def __post_init__(self) -> None:
        """Let the library begin."""
        super().__init__(ssh_config=paramiko.SSHConfig())

    def close(self) -> None:
        """Let the agent go."""
        if self.agent is not None:
            self.agent.close()

    def authenticate(self, transport: paramiko.Transport) -> list[SourceResult]:
        """Offer one key after the other; a machine that has hung up is offered no more."""
        self.transport = transport
        return super().authenticate(transport)

    def get_sources(self) -> Iterator[AuthSource]:
        """Yield one key after the other; the next one only where the last one was refused."""
        for name, key in self._keys():
            if self.transport is None or not self.transport.is_active():
                return
            self.offered.append(name)
            yield InMemoryPrivateKey(self.user, key)

    def _keys(self) -> Iterator[tuple[str, paramiko.PKey]]:
        self.agent = paramiko.Agent() if self.asks_agent else None
        agent = [] if self.agent is None else list(self.agent.get_keys())
        if not self.files:
            yield from ((f"the {key.get_name()} key of the agent", key) for key in agent)
        if self.files is None:
            usual = [path for name in USUAL if (path := self.folder / name).is_file()]
            yield from self._of_files(usual, held={key.blob: key for key in agent}, is_named=False)
        else:
            yield from self._of_files([Path(file) for file in self.files], {key.blob: key for key in agent})

    def _of_files(
        self, paths: Sequence[Path], held: dict[bytes, paramiko.AgentKey], *, is_named: bool = True
    ) -> Iterator[tuple[str, paramiko.PKey]]:
        for path in paths:
            in_agent = held.get(_public_half(path) or b"")
            if in_agent is not None:
                if is_named:  # else it was offered with all of the agent's
                    yield f"{path} (of the agent)", in_agent
                continue
            key = _read(path)
            if isinstance(key, Trouble):
                self.troubles.append(key)
            else:
                yield str(path), key


def login_refused(name: str, keys: Keys, err: AuthFailure, *, hung_up: bool) -> ConnectionLostError:
    """Return the error for a login that no key opens.

    Args:
        name: The machine.
        keys: What was to be offered.
        err: What the library says.
        hung_up: Whether the machine ended the connection.
    """
    tried, listed = len(err.result), "\n".join((*keys.offered, *(trouble.says for trouble in keys.troubles)))
    if hung_up and tried > 1:
        return ConnectionLostError(
            f"ssh: {name} hung up after {tried} keys (too many authentication failures)",
            details=listed,
            resolution=NAME_ONE,
        )
    if keys.troubles:
        first = keys.troubles[0]
        also = f", and takes none of {counted(tried, 'other key', 'other keys')}" if tried else ""
        return ConnectionLostError(
            f"ssh: {name} refuses the login: {first.says}{also}", details=listed, resolution=first.remedy
        )
    if not tried:
        return ConnectionLostError(
            f"ssh: {name} refuses the login: there is no key here, neither in the agent nor in {keys.folder}",
            resolution="make one (`ssh-keygen -t ed25519`) and put it there (`ssh-copy-id`), or name one: "
            "SET=compute.identity_file=…",
        )
    return ConnectionLostError(
        f"ssh: {name} refuses the login: it does not take {' or '.join(keys.offered[:3])}"
        + (f" or {tried - 3} more" if tried > 3 else ""),
        details=listed,
        resolution=f"put one into ~/.ssh/authorized_keys there (`ssh-copy-id`), check the user, or {NAME_ONE}",
    )


def _read(path: Path) -> paramiko.PKey | Trouble:
    """Return a private key, or why it cannot be offered."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Trouble(f"there is no key file {path}", NAME_ONE)
    except OSError as err:
        return Trouble(f"the key file {path} cannot be read ({err.strerror})", f"make it readable for you: {path}")
    if content.startswith(PUBLIC):
        private = str(path).removesuffix(".pub")
        return Trouble(f"{path} is the public half of a key, and the agent does not hold it", f"name {private} instead")
    try:
        return paramiko.PKey.from_path(path)
    except (TypeError, paramiko.PasswordRequiredException):
        return Trouble(f"the key {path} is encrypted, and the agent does not hold it", f"unlock it: `ssh-add {path}`")
    except Exception as err:  # noqa: BLE001 - the library has no common error for a file that holds no key
        return Trouble(f"{path} is no private key that can be read ({one_line(str(err))[:100]})", NAME_ONE)


def _public_half(path: Path) -> bytes | None:
    """Return the public half of a key as the agent has it, from the file itself or the one beside it."""
    for place in (path, path.with_name(f"{path.name}.pub")):
        try:
            content = place.read_bytes()
            if content.startswith(PUBLIC):
                return base64.b64decode(content.split()[1])
        except (OSError, ValueError, IndexError):
            continue
    return None
