"""The one remote of this machine's rclone that ``store.rclone_on_machine`` puts onto the machine that trains.

What the machine gets is a configuration with that remote, and those that it wraps (``crypt``, ``union`` …), and no
other one. Whatever stays here all the same, a folder or a file of this machine, makes a remote unfit for it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from runner.adapters.rclone import Remotes, rclone_program, read_remotes
from runner.errors import TransferError
from runner.world import World
from trainer.checkpoints.rclone import split_address
from trainer.errors import StoreError

WRAPPING = ("remote", "upstreams")
"""Keys that lead to other remotes: that of ``alias``, ``chunker``, ``crypt`` …, those of ``combine`` and ``union``."""
OTHER = re.compile(r"(?P<name>[^:,/]+)(?:,[^:]*)?:")
"""A remote of the configuration at the head of a path, with or without options of its own."""
ON_THE_FLY = re.compile(r":(?P<type>[a-z0-9]+)(?=[,:])")
OPTION = re.compile(r""",(?P<key>\w+)(?:=(?P<value>"(?:[^"]|"")*"|'(?:[^']|'')*'|[^,:]*))?""")
"""An option in a path, behind the remote's name or type."""
STAYS_HERE = re.compile(
    r".*_file|client_certificate_path|bearer_token_command|ssh|env_auth|use_msi|use_az|key_use_agent|unix_socket"
    r"|use_kerberos|kerberos_ccache|service_principal_name"
)
"""Keys that lead to a file, a program, a socket, a login or an environment of this machine."""
OFF = ("", "false")
OF_ONE_PLACE = ("box", "jottacloud")
"""Kinds whose token renews itself once: renewed there, it is void here (rclone's issues 3443 and 6372)."""
LOCAL = "local"
REPLACED = re.compile(r"%\([^)]+\)s")
"""What rclone replaces in a value as it reads it; nothing keeps it from that."""
QUOTE, LONG_QUOTE = "`", '"""'
"""What rclone takes for the quotes of a value that begins and ends with them; there is no other way to write them."""
CONFIGURATION, LEADS_TO_IT = "rclone.conf", "RCLONE_CONFIG"
"""Name of the configuration that is given, and the variable that leads rclone there."""
OTHERWISE = "leave store.rclone_on_machine out: checkpoints then come home first and go on from there"


@dataclass(frozen=True)
class GivenRemote:
    """What the machine gets of rclone's configuration.

    Attributes:
        names: Of the remote and of those that it wraps, itself first.
        text: A configuration file with nothing else in it; never shown.
    """

    names: tuple[str, ...]
    text: str = field(repr=False)


def given_remote(url: str, world: World) -> GivenRemote:
    """Return what a machine needs to open a store on a remote of rclone's.

    Args:
        url: ``rclone://remote/path``.
        world: Where rclone's configuration is found.

    Raises:
        TransferError: If rclone or the remote is not there, or a machine could do nothing with it.
    """
    program, parts = rclone_program(world), split_address(url)
    if program is None or parts is None:
        raise TransferError(
            f"store: rclone is not installed here, and {url} needs it",
            resolution="install rclone so that it is on PATH (https://rclone.org/install/)",
        )
    try:
        known = read_remotes(program, world)
    except StoreError as err:
        raise TransferError(err.message, resolution=err.resolution, details=err.details) from err
    found: dict[str, Mapping[str, str]] = {}
    _follow(parts[0], parts[0], known, found)
    return GivenRemote(tuple(found), "\n".join(_lines(found)))


def _follow(name: str, wanted: str, known: Remotes, found: dict[str, Mapping[str, str]]) -> None:
    """Take a remote, and those that it wraps."""
    if name in found:
        return
    section = known(name)
    if not section:
        raise TransferError(
            f"store: rclone has no remote {name}" + ("" if name == wanted else f", which {wanted} leads to"),
            resolution="see `rclone listremotes`, and correct store.url or the remote with `rclone config`",
        )
    _check(name, section)
    found[name] = section
    _follow_paths(name, section, wanted, known, found)


def _follow_paths(
    name: str, section: Mapping[str, str], wanted: str, known: Remotes, found: dict[str, Mapping[str, str]]
) -> None:
    """Take what a remote wraps; what a path says of a remote counts as if the remote had it."""
    for path in _paths(section):
        if (fly := ON_THE_FLY.match(path)) is not None and fly["type"] != LOCAL:
            made = {"type": fly["type"], **_options(path, fly.end())}
            _check(name, made)
            _follow_paths(name, made, wanted, known, found)
            continue
        other = OTHER.match(path)
        if other is None:
            raise _unfit(name, f"leads to {path}, a folder of this machine")
        _follow(other["name"], wanted, known, found)
        _check(name, {**found[other["name"]], **_options(path, other.end("name"))})


def _options(path: str, at: int) -> dict[str, str]:
    """Return the options in a path; one without a value is on."""
    options: dict[str, str] = {}
    while (match := OPTION.match(path, at)) is not None:
        value, at = match["value"], match.end()
        if value is not None and value[:1] in ("'", '"'):
            value = value[1:-1].replace(value[0] * 2, value[0])
        options[match["key"]] = "true" if value is None else value
    return options


def _check(name: str, section: Mapping[str, str]) -> None:
    """Refuse what is of no use elsewhere."""
    kind = section.get("type")
    if kind == LOCAL:
        raise _unfit(name, "is a folder of this machine")
    if kind in OF_ONE_PLACE:
        raise _unfit(name, f"is of type {kind}, whose token serves in one place only")
    here = next((key for key, value in section.items() if STAYS_HERE.fullmatch(key) and value not in OFF), None)
    if here is not None:
        raise _unfit(name, f"has {here}, which leads to something on this machine")
    if kind == "sftp" and not (section.get("pass") or section.get("key_pem")):
        raise _unfit(name, "has neither pass nor key_pem, so that the SSH agent of this machine opens it")


def _paths(section: Mapping[str, str]) -> Iterator[str]:
    """Yield where a remote leads to: one path, or several of a list as rclone writes it, with names or without."""
    for key in WRAPPING:
        if (value := section.get(key, "")) == "":
            continue
        if key == "remote":
            yield value
            continue
        for word in next(csv.reader([value], delimiter=" ")):
            name, equals, path = word.partition("=")
            yield path if equals and ":" not in name else word


def _lines(found: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for name, section in found.items():
        yield f"[{name}]"
        yield from (f"{key} = {_written(name, key, value)}" for key, value in section.items())
        yield ""


def _written(name: str, key: str, value: str) -> str:
    """Return a value as rclone has to find it, so that it reads this value again."""
    if "\n" in value or "\r" in value:
        raise _unfit(name, "has a value of several lines")
    if REPLACED.search(value):
        raise _unfit(name, f"has %(…)s in {key}, which rclone would replace")
    if value == value.strip() and not value.startswith((QUOTE, LONG_QUOTE)):
        return value
    if QUOTE not in value:
        return f"{QUOTE}{value}{QUOTE}"
    if LONG_QUOTE not in value and not value.endswith('"'):
        return f"{LONG_QUOTE}{value}{LONG_QUOTE}"
    raise _unfit(name, f"has blanks or quotes around {key} that rclone's configuration cannot hold")


def _unfit(name: str, why: str) -> TransferError:
    message = f"store: rclone's remote {name} {why}: it cannot be given to a rented machine"
    return TransferError(message, resolution=OTHERWISE)
