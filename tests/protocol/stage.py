"""One act of the small protocol, on a stage of its own: disk, clock and account are in memory, and it may be killed.

An act is a function of the product, called as the product calls it. It may be killed before each of its effects: each
change of a file, each request to the cloud that changes something. From then on nothing that it does has an effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.cloud_api.models import Account, Listing, Offer, Quota, Resource
from runner.errors import NOTHING_RENTED, CloudUnavailableError, TerraformError
from runner.simulation.world import VirtualWorld

RUN = "20261121-015500-tiny-aaaa"
FOREIGN = ("20261121-015500-tiny-aaaa-b", "20261121-015500-tiny", "20261121-015500-tiny-aaab")
"""Runs of other people in the account, whose ids begin as ours does; each has a machine."""
FOLDER = Path("/runs") / RUN
CLOUD = "lambda"
BOOT_S = 180.0
LAGS_S = (0.0, 20.0, 100.0)
"""So many seconds after a request the account may list its machine; the product promises to look for 120."""


class KilledError(BaseException):
    """The process is gone; whoever catches this has no effect any more."""


@dataclass(frozen=True)
class Choice:
    """What the world does in an act.

    Attributes:
        answer: What Terraform's apply hands back: ``machine``, ``no`` (the cloud's own), ``lost``.
        listed_s: Seconds from the request to the first listing that shows its machine; ``None`` where it makes none.
        terraform_works: Whether Terraform's destroy terminates the machine that was handed back.
        is_out: Whether the cloud lists nothing, for it does not answer.
    """

    answer: str = "machine"
    listed_s: float | None = 0.0
    terraform_works: bool = True
    is_out: bool = False


class Stage(VirtualWorld):
    """The world of one act."""

    def __init__(self, choice: Choice, killed_at: int | None, *, counts_files: bool = True) -> None:
        """Set the stage; no effect counts before ``begin``.

        Args:
            choice: What the world does.
            killed_at: Before which effect the process is killed, counted from 0; ``None`` for never.
            counts_files: Whether a change of a file is an effect: it is not where all that is written are notes.
        """
        self.counts_files = counts_files
        self.choice, self.killed_at, self.effects, self.is_killed, self.has_begun = choice, killed_at, 0, False, False
        super().__init__()
        self.account = Tenant(self, [])

    def begin(self, machines: Sequence[float | None]) -> None:
        """Open the account; from here on effects count.

        Args:
            machines: The machines that the run has rented so far: the seconds from now on until the account lists it,
                or ``None`` where it is gone.
        """
        self.account.listed_at_s = [None if one is None else self.monotonic_s() + one for one in machines]
        self.has_begun = True

    def effect(self) -> None:
        """Let something happen, unless the process is killed before it.

        Raises:
            KilledError: If it is.
        """
        if self.is_killed or (self.has_begun and self.effects == self.killed_at):
            self.is_killed = True
            raise KilledError
        self.effects += self.has_begun

    def step(self) -> None:
        """Count a change of a file as an effect; nobody else is there to come first."""
        if self.counts_files:
            self.effect()


@dataclass
class Tenant:
    """The account: the run's machines and those of others."""

    stage: Stage
    listed_at_s: list[float | None]
    name: str = CLOUD
    foreign: dict[str, str] = field(default_factory=lambda: {f"i-of-{run_id}": run_id for run_id in FOREIGN})

    def rent(self, listed_s: float) -> str:
        """Make a machine that is listed so many seconds from now on; return its id."""
        self.listed_at_s.append(self.stage.monotonic_s() + listed_s)
        return f"i-{len(self.listed_at_s) - 1}"

    def end_machine(self, machine_id: str) -> None:
        """Let a machine be gone, of whomever it is."""
        if machine_id in self.foreign:
            del self.foreign[machine_id]
        else:
            self.listed_at_s[int(machine_id.removeprefix("i-"))] = None

    def listing(self) -> Listing:
        if self.stage.choice.is_out:
            raise CloudUnavailableError("lambda: no answer", resolution="wait")
        now_s = self.stage.monotonic_s()
        own = [
            _machine(f"i-{number}", RUN)
            for number, listed_s in enumerate(self.listed_at_s)
            if listed_s is not None and listed_s <= now_s
        ]
        return Listing([*own, *(_machine(machine_id, run_id) for machine_id, run_id in self.foreign.items())])

    def end(self, resource: Resource) -> None:
        self.stage.effect()
        self.end_machine(resource.id)

    def account(self) -> Account:
        return Account(self.name, "the only one")

    def fingerprint(self, salt: str) -> str:
        return f"mine {salt}"

    def offers(self, trust: str = "secure") -> list[Offer]:
        return []

    def quotas(self, offers: Sequence[Offer]) -> dict[Offer, Quota]:
        return {}

    def move_lease(self, machine: Resource, ends_at: datetime) -> None:
        del machine, ends_at


@dataclass
class Terraform:
    """Stands for Terraform, whose provider asks the cloud."""

    stage: Stage
    on_start: Any = None
    machine_id: str = ""

    def apply_plan(self) -> None:
        """Ask for a machine. The request may be on its way when the process is killed."""
        if self.on_start is not None:
            self.on_start(self.stage.now().isoformat())
        choice = self.stage.choice
        if choice.listed_s is not None:
            self.machine_id = self.stage.account.rent(choice.listed_s)
        self.stage.effect()
        if choice.answer == "no":
            raise TerraformError("terraform: apply failed", details=NOTHING_RENTED, resolution="-")
        if choice.answer == "lost":
            raise TerraformError("terraform: apply failed", details="EOF", resolution="-")
        self.stage.sleep(BOOT_S)

    def outputs(self) -> Mapping[str, Any]:
        """Return what the root module hands back."""
        return {"host": host_of(self.machine_id)}


def host_of(machine_id: str) -> dict[str, Any]:
    """Return a machine as an environment hands it back."""
    return {
        "address": "203.0.113.7",
        "port": 22,
        "user": "ubuntu",
        "instance_id": machine_id,
        "instance_type": "gpu_1x_a10",
        "region": "us-west-1",
        "spot": False,
        "price_usd_per_h": 1.29,
        "host_key": None,
        "cloud": CLOUD,
    }


def _machine(machine_id: str, run_id: str) -> Resource:
    return Resource(CLOUD, "instance", machine_id, f"douse-{run_id}", "us-west-1", run_id, None, "running", None, 1.29)


def seconds_later(moments: Sequence[float | None], stage: Stage) -> tuple[float | None, ...]:
    """Return in how many seconds from now each machine is listed, at most; ``None`` for one that is gone.

    Of all moments only ``LAGS_S`` are told apart, the later ones for what lies between.
    """
    now_s = stage.monotonic_s()
    return tuple(None if one is None else next(lag for lag in LAGS_S if one - now_s <= lag) for one in moments)
