"""The machines that came to nothing of late: other ones are tried before them, and what they cost is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runner.cloud_api.models import Offer
from runner.planning.estimate.finished_run import was_emulated
from runner.run.journal import Journal
from runner.run.planned import MachineIdentity
from runner.run.rentals import USELESS
from runner.run.run_dir import RunDir
from runner.safety.asked import DAMAGE

REMEMBERED = timedelta(days=1)
"""For so long others go first: a region or a kind that is broken is so for hours, and one machine says little."""


@dataclass(frozen=True)
class UselessMachine:
    """A machine on which nothing ever trained.

    Attributes:
        run_id: The run that rented it.
        cloud: Where.
        at: When it was given up.
        identity: Which machine.
        why: The reason.
    """

    run_id: str
    cloud: str
    at: datetime
    identity: MachineIdentity
    why: str

    def is_like(self, offer: Offer) -> bool:
        """Return whether a machine of this cloud may be the same, or its neighbour."""
        return MachineIdentity(offer.instance_type, offer.region, offer.spot, offer.trust).may_be(self.identity)


def useless_machines(
    runs: Sequence[RunDir], cloud: str, now: datetime, *, emulated: bool = False
) -> list[UselessMachine]:
    """Return a cloud's machines that came to nothing within a day, oldest first; a damaged folder names none.

    Args:
        runs: Run folders.
        cloud: The cloud.
        now: The moment.
        emulated: Whether those of emulated clouds are wanted, in place of the others.
    """
    found = []
    for run in runs:
        try:
            lines = [line for line in Journal(run).entries() if line["action"] == USELESS]
            if lines and was_emulated(run) == emulated:
                found += [one for line in lines if (one := _read(run, line)).cloud == cloud]
        except DAMAGE:
            continue
    return sorted((one for one in found if abs(now - one.at) <= REMEMBERED), key=lambda one: one.at)


def _read(run: RunDir, line: dict[str, Any]) -> UselessMachine:
    """Return what a line says; one without a kind of machine is like no other."""
    kind, region = str(line.get("instance_type") or ""), str(line.get("region") or "")
    identity = MachineIdentity(kind, region, bool(line.get("spot")), trust=None)
    at = datetime.fromisoformat(str(line["time"]))
    return UselessMachine(run.run_id, str(line.get("cloud")), at, identity, str(line.get("why")))
