"""A rented machine of an emulated cloud: its box, its meter, the moments of its life."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from runner.emulation.faults import Queued
from runner.emulation.meters import Meter

BoxKind = Literal["vm", "pod"]


class Address(Protocol):
    """Where a box's sshd listens."""

    @property
    def host(self) -> str:
        """IP address."""

    @property
    def port(self) -> int:
        """TCP port."""


class Yard(Protocol):
    """Where boxes come from: what the emulators use of ``runner.emulation.boxes``."""

    def boot(
        self,
        box: str,
        *,
        kind: BoxKind,
        user: str,
        public_keys: list[str],
        user_data: str | None = None,
        env: Mapping[str, str] = ...,
        command: str = ...,
        on_exit: Callable[[], None] | None = None,
    ) -> Address:
        """Begin to boot a box and return at once with the address that its sshd will have."""

    def is_alive(self, box: str) -> bool:
        """Return whether a box runs."""

    def kill(self, box: str) -> None:
        """Let a box vanish: link down, then SIGKILL."""

    def remove(self, box: str) -> None:
        """End a box and forget its disk."""

    def partition(self, box: str, on: bool) -> None:
        """Cut a box off the network, or let it back."""

    def tell(self, box: str, notice: bytes) -> None:
        """Let a box's metadata service tell that its machine will be reclaimed."""


@dataclass(frozen=True)
class BoxOrder:
    """What a machine's box is booted with."""

    kind: BoxKind
    user: str
    public_keys: list[str]
    user_data: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


@dataclass
class EmulatedMachine:
    """A machine, from the moment the cloud said yes.

    Attributes:
        id: The cloud's id.
        cloud: Name of the cloud.
        name: The cloud's name for people.
        instance_type: The cloud's name of the kind of machine.
        region: Where.
        spot: Whether the cloud may reclaim it.
        meter: What it costs.
        idle_usd_per_h: What its disk costs while it is stopped.
        disk_usd_per_h: What its disk costs besides while it runs; the meter counts it in.
        created_at: When the cloud said yes.
        active_at: When it is active; infinite when it never will be.
        traits: Faults that it was born with, by name.
        box: Name of its box, or ``None`` while it has none.
        address: Where the box's sshd listens.
        is_stopped: Stopped, disk kept.
        is_taken_back: The cloud took it back.
        ends_at: When it will be gone after a request to end it, or ``None``.
        ended_at: When it was gone.
        ended_by: Why it ended, in a few words.
        is_box_dead: Its box has vanished, and the cloud may not know.
        due: Timed faults that have not happened yet: when, and which.
        disk_meter: What of the meter is its disk.
    """

    id: str
    cloud: str
    name: str
    instance_type: str
    region: str
    spot: bool
    meter: Meter
    idle_usd_per_h: float
    created_at: float
    active_at: float
    traits: Mapping[str, Queued] = field(default_factory=dict)
    box: str | None = None
    address: Address | None = None
    disk_usd_per_h: float = 0.0
    is_stopped: bool = False
    is_taken_back: bool = False
    ends_at: float | None = None
    ended_at: float | None = None
    ended_by: str = ""
    is_box_dead: bool = False
    due: list[tuple[float, str]] = field(default_factory=list)
    disk_meter: Meter = field(init=False)

    def __post_init__(self) -> None:
        """Let what it was born with shape its life."""
        self.disk_meter = Meter(self.created_at, self.disk_usd_per_h)
        if "boot_never_active" in self.traits:
            self.active_at = math.inf
        elif "boot_unhealthy_spell" in self.traits:
            self.active_at += self.traits["boot_unhealthy_spell"].number("seconds")

    @property
    def is_ended(self) -> bool:
        """Return whether it is gone for good."""
        return self.ended_at is not None

    @property
    def is_ending(self) -> bool:
        """Return whether its end was accepted and has not come yet."""
        return self.ends_at is not None and not self.is_ended

    @property
    def price_usd_per_h(self) -> float:
        """Return what it costs now, without the disk of one that runs."""
        return self.meter.usd_per_h if self.is_stopped else round(self.meter.usd_per_h - self.disk_usd_per_h, 9)

    def bill_disk_alone(self, now: float) -> None:
        """Let it cost what its disk does while it is stopped."""
        self.meter.change(now, self.idle_usd_per_h)
        self.disk_meter.change(now, self.idle_usd_per_h)

    def bill_again(self, now: float, price_usd_per_h: float) -> None:
        """Let it cost its price and its disk again."""
        self.meter.change(now, price_usd_per_h + self.disk_usd_per_h)
        self.disk_meter.change(now, self.disk_usd_per_h)

    def bill_no_more(self, at: float) -> None:
        """End its meters."""
        self.meter.stop(at)
        self.disk_meter.stop(at)

    def remind(self, at: float, what: str) -> None:
        """Let something happen to it later."""
        self.due.append((at, what))
        self.due.sort()

    def is_due(self, now: float) -> bool:
        """Return whether something is to happen to it by now."""
        return bool(self.due and self.due[0][0] <= now) or (self.ends_at is not None and self.ends_at <= now)

    def is_listed(self, now: float) -> bool:
        """Return whether a list shows it yet."""
        lag = self.traits.get("listing_lags")
        return lag is None or now - self.created_at >= lag.number("seconds")


@dataclass
class Leftover:
    """Something besides machines that exists in an account: a key, a volume, an address, a schedule.

    Attributes:
        cloud: Name of the cloud.
        kind: What it is.
        id: The cloud's id.
        name: The cloud's name for people.
        region: Where, or ``None``.
        meter: What it costs, or ``None`` for what is free.
    """

    cloud: str
    kind: Literal["key", "volume", "address", "security_group", "schedule"]
    id: str
    name: str
    region: str | None = None
    meter: Meter | None = None


def machine_row(machine: EmulatedMachine, now: float) -> Mapping[str, object]:
    """Return a machine as ``GET /machines`` shows it, except its status in the cloud's words."""
    address = machine.address
    return {
        "id": machine.id,
        "cloud": machine.cloud,
        "name": machine.name,
        "instance_type": machine.instance_type,
        "region": machine.region,
        "spot": machine.spot,
        "started_at": machine.created_at,
        "ended_at": machine.ended_at,
        "ended_by": machine.ended_by,
        "price_usd_per_h": machine.price_usd_per_h,
        "disk_usd_per_h": machine.disk_usd_per_h,
        "billed_usd": round(machine.meter.billed_usd(now), 6),
        "is_billing": machine.meter.is_billing,
        "address": None if address is None else {"host": address.host, "port": address.port},
        "box": machine.box,
        "is_box_dead": machine.is_box_dead,
    }
