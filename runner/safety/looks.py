"""Looks at a cloud, kept in the run's journal: when each machine of the run was seen first, last, and no longer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from runner.cloud_api.labels import belongs_to
from runner.cloud_api.models import Cloud, Listing, Resource
from runner.run.journal import Journal
from runner.run.rentals import LOOK, rentals_in, stays_off
from runner.run.run_dir import RunDir
from runner.safety.asked import DAMAGE
from runner.safety.proof import is_surely_the_account

State = tuple[str | None, float | None, float | None]
"""Status of a machine, its price and that of its disk, in US dollars an hour."""


class Looks:
    """Looks at one account for the machines of one run; what changes between two looks becomes a journal line.

    The moment at which a look began bounds what it shows, the moment at which it ended what it misses. A look of which
    a part could not be read misses nothing. A disk that takes no line keeps nobody from looking. Moments are kept by
    what this computer counts, and written by its clock as it shows then: it may have been set since.
    """

    def __init__(self, run: RunDir, cloud: Cloud) -> None:
        """Go on from what the journal says."""
        self._run, self._cloud, self._lock = run, cloud, run.world.lock()
        self._shown: dict[str, State] = {}
        self._seen_s: dict[str, float] = {}
        self._off: set[str] = set()
        self._newest_s = 0.0
        try:
            known = [one for one in rentals_in(Journal(run).entries()) if one.is_shown and one.gone_at is None]
        except DAMAGE:
            known = []
        for one in known:
            if one.cloud == cloud.name and one.machine_id:
                self._shown[one.machine_id] = (None, None, None)
                self._off |= {one.machine_id} if one.is_off else set()

    @property
    def shows_machine(self) -> bool:
        """Whether the last look showed a machine of the run."""
        return bool(self._shown)

    def look(self) -> Listing:
        """Return the account's listing.

        Raises:
            CloudError: If the account cannot be read at all.
        """
        began_s = self._run.world.boottime_s()
        found = self._cloud.listing()
        with self._lock:
            if began_s >= self._newest_s:  # a look that hung is older than what is known by now
                self._newest_s = began_s
                self._keep(found, began_s)
        return found

    def _keep(self, found: Listing, began_s: float) -> None:
        run_id = self._run.run_id
        ours = (one for one in found.resources if one.kind == "instance" and belongs_to(run_id, one.run_id, one.name))
        there = {one.id: one for one in ours}
        gone = [] if found.unread else [one for one in self._shown if one not in there]
        if gone and not is_surely_the_account(self._run, self._cloud):
            gone = []  # another account shows nothing of the run, and its machines bill on
        news = [one for one in there.values() if self._shown.get(one.id) != _state(one)]
        if news or gone:
            self._write(began_s, [_row(one) for one in news], [self._last_of(one) for one in gone])
        for machine_id in gone:
            del self._shown[machine_id]
        for one in there.values():
            self._shown[one.id] = _state(one)
            if stays_off(one.status, was_off=one.id in self._off):
                self._off.add(one.id)
            else:
                self._off.discard(one.id)
                self._seen_s[one.id] = began_s

    def _last_of(self, machine_id: str) -> dict[str, Any]:
        seen_s = self._seen_s.get(machine_id)
        return {"id": machine_id, "seen_at": None if seen_s is None else self._written(seen_s)}

    def _write(self, began_s: float, machines: list[dict[str, Any]], gone: list[dict[str, Any]]) -> None:
        facts = {"cloud": self._cloud.name, "began": self._written(began_s), "machines": machines, "gone": gone}
        try:
            Journal(self._run).answer(LOOK, **facts)
        except OSError:
            return  # what is terminated counts for more than what is known of its cost

    def _written(self, moment_s: float) -> str:
        """Return a moment that was counted, by the clock as it shows now."""
        passed = timedelta(seconds=self._run.world.boottime_s() - moment_s)
        return (self._run.world.now() - passed).isoformat(timespec="milliseconds")


def _state(found: Resource) -> State:
    return found.status, found.price_usd_per_h, found.disk_usd_per_h


def _row(found: Resource) -> dict[str, Any]:
    return {
        "id": found.id,
        "status": found.status,
        "price_usd_per_h": found.price_usd_per_h,
        "disk_usd_per_h": found.disk_usd_per_h,
    }
