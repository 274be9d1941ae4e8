"""The way to a machine of the user's own: what of ``~/.ssh/config`` counts, and the run's own file that says so.

Of the user's file only HostName, User, Port, IdentityFile, ProxyJump and ProxyCommand count, as ``ssh -G`` gives them,
of the machine and of each machine on the way to it. They are written to a file of the run's own, which every ``ssh``
that we or Ansible start is given with ``-F``, and which our own client asks ``ssh -G`` about: both go the same way.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from runner.adapters import process
from runner.adapters.surroundings import for_ansible
from runner.errors import UsageError
from runner.run.host_words import one_line
from runner.run.run_file import is_ssh_name, parse_address
from runner.world import World
from trainer.files import SECRET_MODE, write_atomically

ASK_S = 30.0
"""How long ``ssh -G`` may take: ``Match exec`` of the user's file may run a program."""
CONNECT_S = 15
USUAL_PORT = 22
"""With any other port, ``known_hosts`` names a machine with it."""
NOTHING = Path(os.devnull)
"""The configuration of who has none: with ``-F``, neither the user's nor the system's file counts."""
PINS = "known_jumps"
"""File beside the run's own that keeps the host keys of the machines on the way."""
MOST_JUMPS = 8
JUMP_NAME = "douse-jump-{number}"
OUR_JUMP = re.compile(r"ssh -F .* -W \S+ (douse-jump-\d+)")
"""How a machine on the way is called in the run's own file, and the command there that leads over it."""
ADDRESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:.]+")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*\$?")
JUMP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[A-Za-z0-9_][^@\s]*)@)?(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*)"
    r"(?::(?P<port>\d{1,5}))?/?"
)
TOKEN = re.compile(r"%(.)")
VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Hop:
    """A machine to log in to: the last one, or one on the way to it.

    Attributes:
        name: What the user calls it.
        address: Where it is.
        port: Its port.
        user: Who logs in.
        identity_files: Private keys, as whole paths; ``None``: the agent and the usual files, empty: the agent alone.
        jump: The machines that lead to it, as ``ProxyJump`` has them, or ``None``.
        command: What connects to it, as a line for a shell, or ``None``.
    """

    name: str
    address: str
    port: int
    user: str
    identity_files: tuple[str, ...] | None = None
    jump: str | None = None
    command: str | None = None

    @property
    def is_direct(self) -> bool:
        """Whether nothing but the network leads to it."""
        return self.jump is None and self.command is None


def find_way(world: World, host: str, identity_file: str | None) -> tuple[Hop, ...]:
    """Return the machines to log in to one after the other; the last one is the run's.

    Args:
        world: The user's home folder and programs.
        host: ``user@address[:port]``, of which the user's configuration says nothing, or a name of ``~/.ssh/config``.
        identity_file: Private key for the last one in place of those of the configuration, or ``None``.

    Raises:
        UsageError: If the configuration cannot be read, or holds what cannot be handed on.
        ToolError: If there is no ``ssh``.
    """
    if is_ssh_name(host):
        file = world.home / ".ssh" / "config"
        config = file if file.is_file() else NOTHING
        last = ask_ssh(world, config, host)
        jumps = _jumps(world, config, last)
    else:
        user, address, port = parse_address(host)
        last, jumps = Hop(host, address, port, user), ()
    if identity_file is not None:
        last = replace(last, identity_files=(identity_file,))
    return (*jumps, last)


def write_way(path: Path, way: tuple[Hop, ...]) -> None:
    """Write the run's own configuration, for its user alone: a block for each machine, each jump before the last."""
    blocks, before = [], None
    for number, hop in enumerate(way, start=1):
        name = hop.address if hop is way[-1] else JUMP_NAME.format(number=number)
        blocks.append(_block(name, hop, path, before, is_jump=hop is not way[-1]))
        before = name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, "\n".join(blocks).encode(), SECRET_MODE)


def pins_of(known_hosts: Path, address: str, port: int) -> str:
    """Return the pinned host keys of a machine, as lines; none where it is another one that was pinned."""
    name = address if port == USUAL_PORT else f"[{address}]:{port}"
    lines = known_hosts.read_text(encoding="utf-8").splitlines(keepends=True) if known_hosts.exists() else []
    return "".join(line for line in lines if line.split()[:1] == [name])


def ask_ssh(world: World, config: Path, name: str, *, user: str | None = None, port: int | None = None) -> Hop:
    """Return what ``ssh -G`` says of a machine.

    Args:
        world: The user's programs.
        config: The configuration to read, and no other.
        name: What it is called there.
        user: Who logs in, in place of what the configuration says.
        port: Its port, likewise.

    Raises:
        UsageError: If the configuration cannot be read, or says what cannot be handed on.
        ToolError: If there is no ``ssh``.
    """
    options = [*(["-l", user] if user else []), *(["-p", str(port)] if port else [])]
    said = _said(world, config, name, options)
    usual = _said(world, NOTHING, name, [])["identityfile"]
    address, login = _checked(said, config, "hostname", ADDRESS, name), _checked(said, config, "user", USER, name)
    own = {"d": str(world.home), "u": world.user, "%": "%"}
    tokens = own | {"h": address, "n": name, "p": said["port"][0], "r": login}
    files = said.get("identityfile", [])
    named = tuple(_path(world, config, file, tokens) for file in files if file != "none")
    command = _one(said, "proxycommand")
    return Hop(
        name,
        address,
        int(said["port"][0]),
        login,
        None if files == usual else named,
        _one(said, "proxyjump"),
        None if command is None else _expanded(config, command, tokens),
    )


def _said(world: World, config: Path, name: str, options: list[str]) -> dict[str, list[str]]:
    """Return the values that ``ssh -G`` prints, by their key in small letters."""
    argv = ["ssh", "-F", str(config), "-G", *options, "--", name]
    done = process.run(argv, timeout_s=ASK_S, environ=for_ansible(world.environ))
    if done.exit_code != 0:
        raise UsageError(
            f"plan: ssh cannot read what {config} says of {name}: {one_line(done.last_words)}",
            details=done.last_words,
            resolution=f"correct the line that it names, until `ssh -G {name}` works",
        )
    said: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        said.setdefault(key.lower(), []).append(value)
    return said


def _jumps(world: World, config: Path, last: Hop) -> tuple[Hop, ...]:
    """Return the machines on the way, as the configuration says; only the first one's own way counts, as in ssh."""
    found: list[Hop] = []
    hop = last
    while hop.jump is not None:
        named = [_jump(world, config, text, last.name) for text in hop.jump.split(",")]
        first, hop = hop, named[0]
        if (hop.address, hop.port, hop.user) == (first.address, first.port, first.user):
            break  # as under `Host *`: it would lead to itself, and ssh leaves it out
        found = named + found
        if len(found) > MOST_JUMPS:
            raise UsageError(
                f"plan: ProxyJump in {config} leads over more than {MOST_JUMPS} machines to {last.name}",
                resolution=f"correct it there, until `ssh {last.name}` works",
            )
    return tuple(found)


def _jump(world: World, config: Path, text: str, name: str) -> Hop:
    match = JUMP.fullmatch(text.strip())
    if match is None:
        raise _odd(config, "ProxyJump", text, name)
    port = int(match["port"]) if match["port"] else None
    return ask_ssh(world, config, match["name"].strip("[]"), user=match["user"], port=port)


def jump_of(hop: Hop) -> str | None:
    """Return the name that the run's own file has for the machine which leads to another one, if one does."""
    match = OUR_JUMP.fullmatch(hop.command or "")
    return None if match is None else match[1]


def _block(name: str, hop: Hop, path: Path, before: str | None, *, is_jump: bool) -> str:
    """Return the block of a machine; that of a jump also says what the command line says of the last one.

    ``ProxyJump`` starts an ssh whose ``-F`` no quotes protect from a shell, so that a folder with a space in its name
    would end the way: the command that it stands for is written out.
    """
    lines = [f"Host {name}", f"  HostName {hop.address}", f"  User {hop.user}", f"  Port {hop.port}"]
    lines += [f'  IdentityFile "{_doubled(file)}"' for file in hop.identity_files or ()]
    if hop.identity_files is not None:
        lines.append("  IdentitiesOnly yes" if hop.identity_files else "  IdentityFile none")
    if before is not None:
        lines.append(f"  ProxyCommand ssh -F {_doubled(shlex.quote(str(path)))} -W [%h]:%p {before}")
    elif hop.command is not None:
        lines.append(f"  ProxyCommand {_doubled(hop.command)}")
    if is_jump:
        pins = _doubled(str(path.with_name(PINS)))
        lines += [
            f'  UserKnownHostsFile "{pins}" ~/.ssh/known_hosts',
            "  StrictHostKeyChecking accept-new",
            "  BatchMode yes",
            f"  ConnectTimeout {CONNECT_S}",
            "  ServerAliveInterval 5",
            "  ServerAliveCountMax 3",
        ]
    return "\n".join(lines) + "\n"


def _one(said: Mapping[str, list[str]], key: str) -> str | None:
    value = said.get(key, ["none"])[0]
    return None if value.lower() == "none" else value


def _checked(said: Mapping[str, list[str]], config: Path, key: str, pattern: re.Pattern[str], name: str) -> str:
    value = said[key][0].strip("[]") if key == "hostname" else said[key][0]
    if pattern.fullmatch(value) is None:
        raise _odd(config, {"hostname": "HostName", "user": "User"}[key], value, name)
    return value


def _path(world: World, config: Path, text: str, tokens: Mapping[str, str]) -> str:
    """Return an ``IdentityFile`` as a whole path, its ``~``, tokens and ``${VARIABLES}`` filled in."""
    whole = f"{world.home}{text[1:]}" if text.startswith("~/") else text
    path = VARIABLE.sub(lambda match: world.environ.get(match[1], match[0]), _expanded(config, whole, tokens))
    if not path.startswith("/") or '"' in path or "${" in path:
        raise _odd(config, "IdentityFile", text, tokens["n"])
    return path


def _expanded(config: Path, text: str, tokens: Mapping[str, str]) -> str:
    """Return a value with ssh's tokens filled in."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in tokens:
            raise _odd(config, f"{match[0]} in", text, tokens["n"])
        return tokens[match[1]]

    return TOKEN.sub(value, text)


def _doubled(text: str) -> str:
    """Return text in which ssh finds no token."""
    return text.replace("%", "%%")


def _odd(config: Path, key: str, value: str, name: str) -> UsageError:
    return UsageError(
        f"plan: {config} says of {name}: {key} {value!r}, which Douse cannot hand on",
        resolution="write it out there with plain characters, or give HOST=user@address[:port]",
    )
