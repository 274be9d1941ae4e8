"""What a runner says to its guard, a line of JSON each, on a pipe that nobody else holds."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from runner.run.models import Host
from runner.run.notices_section import EventName
from runner.world import World

CHUNK_BYTES = 65536


@dataclass(frozen=True)
class Receivers:
    """Who hears what a guard has done; it stays in memory, for what is secret in it is in clear.

    Attributes:
        urls: Addresses as the run file has them.
        events: What they want to hear of.
        command: A program of the user's and its arguments, or nothing.
        folder: Where that program starts.
        variables: Environment variables that addresses and program need.
    """

    urls: list[str]
    events: list[EventName]
    command: list[str]
    folder: str
    variables: dict[str, str]


@dataclass(frozen=True)
class Facts:
    """What a guard has to know of a run from its beginning on.

    Attributes:
        run_id: The run.
        cloud: Where its machine is rented.
        folder: The run's folder; the guard writes there as long as it exists, and reads the last word of a lease.
        lease_s: Seconds without a word of the runner after which the machine saves its work, and ends itself if it can.
        saving_s: Seconds that it gets for that before it is terminated, until a ``saves`` says otherwise.
        hard_end_s: Seconds from now to the time past which no word keeps the machine.
        endpoint: Address at which the cloud is asked.
        receivers: Who hears that the guard has ended the run, ``None`` for nobody.
    """

    run_id: str
    cloud: str
    folder: str
    lease_s: float
    saving_s: float
    hard_end_s: float
    endpoint: str
    receivers: Receivers | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Held:
    """What a guard has to know of a run that it keeps by itself.

    Attributes:
        hard_end_s: Seconds from now to the time past which nothing keeps the machine.
        idle_s: Seconds that the machine stays while nothing trains.
        host: The machine.
        prefix: Where the run lives there, or ``None`` where nothing trains yet.
        login_key: Private key that logs in, as its file has it.
        known_hosts: The machine's pinned host key.
    """

    hard_end_s: float
    idle_s: float
    host: Host
    prefix: str | None
    login_key: str
    known_hosts: str


def line_of(word: str, content: Facts | Held | None = None, **values: float) -> bytes:
    """Return a word as it goes over the pipe.

    Args:
        word: ``facts``, ``alive``, ``asks``, ``rented``, ``saves``, ``hold`` or ``over``.
        content: What it holds as a whole.
        values: What else it holds.
    """
    return json.dumps({"word": word, **values} | ({} if content is None else asdict(content))).encode() + b"\n"


def facts_in(word: Mapping[str, Any]) -> Facts:
    """Return the facts that a word holds."""
    values = {name: word[name] for name in Facts.__dataclass_fields__}
    told = values["receivers"]
    return Facts(**values | {"receivers": None if told is None else Receivers(**told)})


def held_in(word: Mapping[str, Any]) -> Held:
    """Return what a ``hold`` says."""
    values = {name: word[name] for name in Held.__dataclass_fields__}
    return Held(**values | {"host": Host(**word["host"])})


class Words(Protocol):
    """Where words come from."""

    @property
    def has_ended(self) -> bool:
        """Whether the runner is gone: the kernel closes its end of the pipe, however it ended."""

    def next(self, timeout_s: float) -> list[dict[str, Any]]:
        """Return what was said, waiting ``timeout_s`` seconds for it at most; nothing where nothing was."""


class PipedWords:
    """Words from a pipe."""

    def __init__(self, world: World, pipe: int) -> None:
        """Take the file descriptor to read from."""
        self._world, self._pipe = world, _Pipe(pipe)
        self._rest, self._has_ended = b"", False

    @property
    def has_ended(self) -> bool:
        """Whether the runner is gone."""
        return self._has_ended

    def next(self, timeout_s: float) -> list[dict[str, Any]]:
        """Return what was said; of a runner that is gone nothing comes, and the time passes all the same."""
        if self._has_ended:
            self._world.sleep(timeout_s)
            return []
        if not self._world.is_readable(self._pipe, timeout_s):
            return []
        chunk = os.read(self._pipe.fileno(), CHUNK_BYTES)
        self._has_ended = not chunk
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [json.loads(line) for line in lines]


@dataclass(frozen=True)
class _Pipe:
    descriptor: int

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self.descriptor
