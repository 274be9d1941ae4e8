"""What the clouds' clients take and give: offers, and whatever of ours costs money or stays behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from runner.errors import CloudError

Kind = Literal["instance", "volume", "key", "address", "security_group", "spot_request", "schedule"]
Status = Literal["pending", "running", "stopped", "ending", "unknown"]
Trust = Literal["secure", "community"]
"""``secure`` where one company answers for machines of its own, ``community`` where others' machines are rented out."""
TrustWanted = Literal["any", "secure"]
"""Whose machines will do."""


@dataclass(frozen=True)
class Offer:
    """A machine that a cloud offers.

    Attributes:
        instance_type: The cloud's name of the kind of machine, or of its GPU.
        region: Where, in the cloud's own words; ``any`` where the cloud takes it upon itself.
        spot: Whether the cloud may reclaim it.
        price_usd_per_h: US dollars an hour for the whole machine.
        gpu_name: The GPU in the cloud's words.
        gpu_count: GPUs in the machine.
        gpu_memory_gib: Memory of one GPU, in GiB.
        memory_gib: Main memory in GiB, or ``None`` where the cloud does not say.
        disk_gib: Disk that comes with it in GiB, or ``None`` where it is chosen.
        available: Whether the cloud says that it can be had now; ``None`` where it does not say.
        trust: Whose machine it is.
        is_price_dated: Whether the price is one of our dated list.
        disk_price_usd_per_gb_month: What chosen disk costs there by the cloud itself, in US dollars a GB and month;
            ``None`` where the dated list says it.
    """

    instance_type: str
    region: str
    spot: bool
    price_usd_per_h: float
    gpu_name: str
    gpu_count: int
    gpu_memory_gib: float
    memory_gib: float | None = None
    disk_gib: float | None = None
    available: bool | None = None
    trust: Trust = "secure"
    is_price_dated: bool = False
    disk_price_usd_per_gb_month: float | None = None


@dataclass(frozen=True)
class Resource:
    """A Douse resource in an account.

    Attributes:
        cloud: Name of the cloud.
        kind: What it is.
        id: The cloud's own id.
        name: The cloud's name for people.
        region: Where, or ``None`` for what has no place.
        run_id: The run it belongs to, or ``None`` where it carries our mark but no run can be read.
        expires_at: When the run has to be over (UTC), or ``None`` where it is unknown.
        status: How a machine stands; ``None`` for what is no machine.
        address: Address of a machine that has one.
        price_usd_per_h: What it costs in US dollars an hour, 0 for what is free, ``None`` where it is unknown.
        lease_until: When a machine's lease runs out (UTC), or ``None`` where the cloud does not say.
        odd_expiry: What its mark holds in place of the date of ``expires_at``, where no date can be read from it. That
            never means that it does not expire.
        disk_usd_per_h: What the disk of a machine costs besides, 0 where it comes with the machine, ``None`` where that
            is unknown.
    """

    cloud: str
    kind: Kind
    id: str
    name: str
    region: str | None
    run_id: str | None
    expires_at: datetime | None
    status: Status | None = None
    address: str | None = None
    price_usd_per_h: float | None = None
    lease_until: datetime | None = None
    odd_expiry: str | None = None
    disk_usd_per_h: float | None = 0.0


@dataclass(frozen=True)
class Listing:
    """The Douse resources of an account, as far as they could be read.

    Attributes:
        resources: All that could be read and carries our mark: it exists, and can be ended, whatever else is unread.
        unread: One error for each part of the account, or entry of a list, that could not be read and may hide more of
            ours. Its class says whether it may pass: ``CloudUnavailableError`` and ``RateLimitedError`` do.
        clock_off: How far the cloud's clock is ahead of this computer's, as far as its answers say.
    """

    resources: list[Resource]
    unread: list[CloudError] = field(default_factory=list)
    clock_off: timedelta = timedelta()

    def whole(self) -> list[Resource]:
        """Return the resources, if there is nothing else.

        Raises:
            CloudError: The first of what could not be read.
        """
        if self.unread:
            raise self.unread[0]
        return self.resources


@dataclass(frozen=True)
class Account:
    """Whose account a key belongs to, as far as the cloud says.

    Attributes:
        cloud: Name of the cloud.
        label: Something a person recognises: an account number, or the key's last four characters.
        balance_usd: Prepaid money that is left, or ``None`` where the cloud does not say.
    """

    cloud: str
    label: str
    balance_usd: float | None = None


@dataclass(frozen=True)
class Quota:
    """How much an account may have of some kinds of machine in one region at a time.

    Attributes:
        name: The cloud's name of the quota.
        region: The region.
        vcpus: Virtual processors of all these machines together.
    """

    name: str
    region: str
    vcpus: float


@dataclass(frozen=True)
class Placement:
    """Whether an account has a network in which a machine can stand.

    Attributes:
        obstacle: Why it cannot, in words; empty where nothing speaks against it.
        remark: What a person should know of the place; empty where there is nothing.
    """

    obstacle: str = ""
    remark: str = ""


class Cloud(Protocol):
    """One account on one cloud."""

    @property
    def name(self) -> str:
        """Return the name of the cloud, the same as its environment's."""

    def account(self) -> Account:
        """Check the credentials and return whose they are."""

    def fingerprint(self, salt: str) -> str:
        """Return what distinguishes this account from every other: two keys of one account may differ in it.

        Args:
            salt: Keeps a key from being found by trying; the same as when the fingerprint was made that this one is
                compared with.

        Raises:
            CloudError: If the cloud has to be asked, and does not answer.
        """

    def offers(self, trust: TrustWanted = "secure") -> list[Offer]:
        """Return every machine with a GPU that is listed, with prices, cheapest first.

        Args:
            trust: ``any`` has community machines too, where the cloud rents them out.
        """

    def quotas(self, offers: Sequence[Offer]) -> dict[Offer, Quota]:
        """Return the account's quota for each of these machines; those that the cloud does not report are left out."""

    def listing(self) -> Listing:
        """Return the Douse resources in the account, in all its regions, of all runs, and what could not be read.

        A machine that is terminated for good is not in it; one that is stopped or still ending is. "Nothing there" is a
        listing without resources in which nothing is unread.

        Raises:
            CloudError: If no part of the account could be read.
        """

    def end(self, resource: Resource) -> None:
        """Ask the cloud to end one resource; one that is gone already is fine. Does not wait for it to be gone."""

    def move_lease(self, machine: Resource, ends_at: datetime) -> None:
        """Write into the cloud itself when a machine's lease runs out; do nothing where the cloud keeps no such thing.

        Args:
            machine: The machine, with the run that it belongs to.
            ends_at: When nobody needs it any more (UTC), unless this is called again.

        Raises:
            NotFoundError: If the machine is gone.
            CloudError: If the cloud refuses, or does not answer.
        """
