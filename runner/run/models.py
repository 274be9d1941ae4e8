"""Plain data that travels between the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple, Protocol

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
        return str(PurePosixPath(self.prefix, *names))

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
    def checkpoints(self) -> str:
        """Folder of the checkpoints."""
        return self._under("output", "checkpoints")


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


class SampleCounts(NamedTuple):
    """How many samples there are of each kind; in ``plan.json`` a list of two."""

    train: int
    eval: int


class MicroBatch(NamedTuple):
    """What is computed at a time; in ``plan.json`` a list of two, which is ``[0, 0]`` where it is not known."""

    rows: int = 0
    row_tokens: int = 0


@dataclass(frozen=True)
class Plan:
    """Everything known before a machine is rented or anything is installed on one.

    Attributes:
        environment: Name of the environment.
        base_model: Base model as the run file names it.
        model_files: Local file or folder to stage, or ``None`` for a Hub id.
        model_bytes: Size of the base model, 0 when not known.
        samples: How many there are.
        data: The data check's summary, as plain data.
        data_table: The data check's summary, for people.
        disk_needed_gib: Free disk the machine should have.
        terraform: Path of the Terraform program.
        candidates: Machines to try in this order, as Terraform takes them.
        prices_usd_per_h: What each of them is listed at, in US dollars an hour.
        ssh_ingress_cidrs: Networks that may reach sshd, where the environment opens a firewall.
        gpu_memory_gib: What the run is expected to need of a GPU, in GiB by part; ``None`` where that is not known.
        micro_batch: Rows, and tokens of the longest one, that this is for.
        estimate: Work, hours and dollars of the run on the first machine, for the ledger to compare with.
        estimate_lines: The same for people.
        forecasts: The run on each of the candidates, in their order, where that is known.
        checks: What the preflight saw: name, status, value and remedy of each line.
    """

    environment: str
    base_model: str
    model_files: str | None
    model_bytes: int
    samples: SampleCounts
    data: dict[str, Any]
    data_table: str
    disk_needed_gib: float
    terraform: str
    candidates: list[dict[str, Any]]
    prices_usd_per_h: list[float]
    ssh_ingress_cidrs: list[str] = field(default_factory=list)
    gpu_memory_gib: dict[str, float] | None = None
    micro_batch: MicroBatch = MicroBatch()  # noqa: RUF009 - it cannot be changed
    estimate: dict[str, Any] | None = None
    estimate_lines: list[str] = field(default_factory=list)
    forecasts: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, str]] = field(default_factory=list)


class View(Protocol):
    """Who looks at a run while it goes on: a terminal with bars, plain lines, or nobody."""

    def step_started(self, step: str, spent_usd: Callable[[], float] | None = None) -> None:
        """Begin a step of the life cycle; ``spent_usd`` tells what the machine has cost so far."""

    def step_ended(self, step: str, status: str, duration_s: float) -> None:
        """End it: ``done``, ``failed`` or ``interrupted``."""

    def line(self, text: str) -> None:
        """Say something once."""

    def progress(self, text: str) -> None:
        """Say what goes on right now; the next one takes its place where the output is a terminal."""

    def event(self, event: dict[str, Any]) -> None:
        """Show an event of the trainer."""
