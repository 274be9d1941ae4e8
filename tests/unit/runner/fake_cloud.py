"""A cloud that is a list in memory, with a queue of troubles: the seam of the sweep's tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from runner.cloud_api.models import Account, Kind, Listing, Offer, Quota, Resource, Status, TrustWanted
from runner.errors import CloudError

RUN_ID = "20261121-015500-tiny"


def thing(
    kind: Kind = "instance",
    resource_id: str = "i-1",
    *,
    run_id: str | None = RUN_ID,
    expires_at: datetime | None = None,
    status: Status | None = None,
    cloud: str = "lambda",
) -> Resource:
    """Return something that exists."""
    name = f"douse-{run_id}"
    state = status or ("running" if kind == "instance" else None)
    return Resource(cloud, kind, resource_id, name, "us-west-1", run_id, expires_at, state, None, 1.0)


@dataclass
class FakeCloud:
    """One account."""

    there: list[Resource] = field(default_factory=list)
    name: str = "lambda"
    key: str = "mine"
    listing_troubles: list[CloudError | None] = field(default_factory=list)
    unread: list[CloudError] = field(default_factory=list)
    """What each look cannot read beside what is there."""
    end_troubles: list[CloudError | None] = field(default_factory=list)
    appears_at_look: dict[int, Resource] = field(default_factory=dict)
    looks: int = 0
    asked_to_end: list[str] = field(default_factory=list)
    leases: dict[str, datetime] = field(default_factory=dict)
    """By machine, when its lease runs out as the cloud knows it."""
    lease_troubles: list[CloudError | None] = field(default_factory=list)
    clock_off: timedelta = timedelta()
    """How far the cloud's clock is ahead of this computer's."""
    ends_slowly: int = 0
    """So many looks a thing is shown as ending before it is gone."""
    _ending: dict[str, int] = field(default_factory=dict)

    def account(self) -> Account:
        return Account(self.name, "test")

    def fingerprint(self, salt: str) -> str:
        return f"{self.key} {salt}"

    def offers(self, trust: TrustWanted = "secure") -> list[Offer]:
        return []

    def quotas(self, offers: Sequence[Offer]) -> dict[Offer, Quota]:
        return {}

    def listing(self) -> Listing:
        self.looks += 1
        if self.looks in self.appears_at_look:
            self.there.append(self.appears_at_look[self.looks])
        trouble = self.listing_troubles.pop(0) if self.listing_troubles else None
        if trouble is not None:
            raise trouble
        gone = {name for name, left in self._ending.items() if left == 0}
        self.there = [found for found in self.there if found.id not in gone]
        self._ending = {name: left - 1 for name, left in self._ending.items() if left > 0}
        shown = [replace(found, status="ending") if found.id in self._ending else found for found in self.there]
        return Listing(shown, list(self.unread), self.clock_off)

    def end(self, resource: Resource) -> None:
        self.asked_to_end.append(resource.id)
        trouble = self.end_troubles.pop(0) if self.end_troubles else None
        if trouble is not None:
            raise trouble
        self._ending[resource.id] = self.ends_slowly

    def move_lease(self, machine: Resource, ends_at: datetime) -> None:
        trouble = self.lease_troubles.pop(0) if self.lease_troubles else None
        if trouble is not None:
            raise trouble
        self.leases[machine.id] = ends_at
