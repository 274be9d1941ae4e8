"""Plain data that travels between the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Literal, Protocol

TrainerState = Literal["none", "running", "exited", "lost"]


@dataclass(frozen=True)
class Host:
    """A machine to train on: the one output of every environment (``infra/contract/host.schema.json``)."""

    address: str
    port: int
    user: str
    instance_id: str
    instance_type: str
    region: str
    spot: bool
    price_usd_per_h: float
    host_key: str | None
    cloud: str

    @property
    def is_this_machine(self) -> bool:
        """Whether the host is the machine the runner runs on, reached without SSH."""
        return self.cloud == "local" and self.instance_type == "this-machine"

    def to_mapping(self) -> dict[str, Any]:
        """Return the contract's object."""
        return asdict(self)


@dataclass(frozen=True)
class Box:
    """Where a run lives on its machine: one folder, and nothing outside it but the shared cache."""

    prefix: str

    def _under(self, *names: str) -> str:
        return _joined(self.prefix, *names)

    @property
    def python(self) -> str:
        """The trainer's interpreter."""
        return self._under("venv", "bin", "python")

    @property
    def input(self) -> str:
        """Folder of the recipe, the data and the base model."""
        return self._under("input")

    @property
    def recipe(self) -> str:
        """The recipe as the trainer reads it."""
        return self._under("input", "recipe.json")

    @property
    def output(self) -> str:
        """The trainer's output folder."""
        return self._under("output")

    @property
    def events(self) -> str:
        """The trainer's event file."""
        return self._under("output", "events.jsonl")

    @property
    def gpu_log(self) -> str:
        """File in which the machine's GPUs are logged, where it has any."""
        return self._under("output", "gpu.jsonl")

    @property
    def checkpoints(self) -> str:
        """Folder of the checkpoints."""
        return self._under("output", "checkpoints")


@cache
def _joined(*names: str) -> str:
    """Return a path of a machine; a runner that follows a run asks for the same few again and again."""
    return str(PurePosixPath(*names))


@dataclass(frozen=True)
class TrainerStatus:
    """Answer of ``trainer supervise status``."""

    state: TrainerState
    exit_code: int | None = None
    step: int | None = None
    checkpoint: int | None = None


@dataclass(frozen=True)
class Completed:
    """A program that has ended.

    Attributes:
        argv: What was run.
        exit_code: Its exit status; negative for a signal.
        stdout: What it wrote.
        stderr: What it complained about.
    """

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str = ""

    @property
    def last_words(self) -> str:
        """The last lines of what it wrote, for an error's details."""
        text = self.stderr.strip() or self.stdout.strip()
        return "\n".join(text.splitlines()[-12:])


class View(Protocol):
    """Who looks at a run while it goes on: a terminal with bars, plain lines, or nobody."""

    def step_started(self, step: str, spent_usd: Callable[[], float | None] | None = None) -> None:
        """Begin a step of the life cycle; ``spent_usd`` returns what the run's machines have cost so far, if known."""

    def step_ended(self, step: str, status: str, duration_s: float) -> None:
        """End it: ``done``, ``failed`` or ``interrupted``."""

    def line(self, text: str) -> None:
        """Say something once."""

    def progress(self, text: str) -> None:
        """Say what goes on right now; the next one takes its place where the output is a terminal."""

    def event(self, event: dict[str, Any]) -> None:
        """Show an event of the trainer."""
