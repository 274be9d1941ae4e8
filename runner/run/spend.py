"""The spend clock: what the machines of a run have cost so far, over all its tries, from what stands on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from runner.run.journal import Journal, entries_in
from runner.run.rentals import Line, Rental, moment_or_none, number_or_none, rentals_in, until_now
from runner.run.run_dir import RunDir
from runner.run.state import STATE_NAME
from trainer.files import object_or_none

PHASES = {
    "provision": "boot",
    "configure": "build",
    "stage": "build",
    "train": "train",
    "collect": "upload",
    "destroy": "teardown",
}
"""What a person pays for while each step goes on."""
EARLIER = "earlier machines"
"""The phase of what earlier machines of the run have cost: ``state.json`` has the steps of the last try alone."""
DISK = "disk"
"""What the disk of the last machine has cost, over all phases, where it is billed apart from the machine."""

WAY_HOME_H = 0.1
"""Kept back of a limit in dollars: the last checkpoint, the way home and the teardown cost as well."""
SHORTEST_H = 0.01
MILLION = 1e6
KEPT_JOURNALS = 64


@dataclass(frozen=True)
class Spend:
    """What the machines of a run have cost, all its tries together; ``None`` is what nobody knows.

    The meter of a machine is not seen from here, only the moments that bound it: it began between the request and the
    first look that showed the machine, and ended between the last look that showed it and the first that did not.

    Attributes:
        now: The moment it was counted at.
        machines: Every machine that was rented, and every request that nobody has answered, oldest first.
        total_usd: US dollars in all, at most.
        price_usd_per_h: Price of the last machine; 0 where none was rented.
        billed_s: Seconds that all machines were billed for, at most.
        unknown: Why something is not known, a sentence each.
        is_damaged: Whether a line of the journal cannot be read, and may have been a request for any of the machines.
    """

    now: datetime
    machines: tuple[Rental, ...]
    total_usd: float | None
    price_usd_per_h: float | None
    billed_s: float
    unknown: tuple[str, ...] = ()
    is_damaged: bool = False

    @property
    def known_usd(self) -> float:
        """US dollars at most, without what has neither a price nor a ceiling: what a limit in dollars is held to."""
        return sum(one.known_usd(self.now) for one in self.machines)

    @property
    def range_usd(self) -> list[float | None]:
        """US dollars at least and at most, rounded outwards; the meters of all machines together lie between."""
        high = None if self.total_usd is None else self.known_usd
        return _outwards(sum(one.low_usd() for one in self.machines), high)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """A line for each machine, as plain data: what it cost at least and at most, and the moments that bound it."""
        return [_line(one, self.now, has_start=one.has_known_start or not self.is_damaged) for one in self.machines]

    @property
    def limit_usd_per_h(self) -> float:
        """What the last machine may cost an hour with its disk; 0 where none bills."""
        last = self.machines[-1] if self.machines else None
        return 0.0 if last is None else last.limit_usd_per_h or 0.0

    @property
    def earlier_h(self) -> float:
        """Hours that the run's earlier machines were billed for: all that are gone."""
        return sum(one.hours(self.now) for one in self.machines if one.gone_at is not None)


def spend_of(run: RunDir, now: datetime | None = None) -> Spend:
    """Return the cost of a run's machines until ``now``; nothing where none was rented."""
    journal, at = Journal(run), now or run.world.now()
    machines, is_damaged = tuple(one for one in _rentals(run, journal) if not one.is_given), journal.is_damaged
    highs = [one.high_usd(at) for one in machines]
    unknown = _unknown(machines, is_damaged=is_damaged)
    is_known = None not in highs and not is_damaged and not any(one.is_set_back for one in machines)
    total = sum(one or 0.0 for one in highs)
    last = machines[-1] if machines else None
    return Spend(
        now=at,
        machines=machines,
        total_usd=round(total, 4) if is_known else None,
        price_usd_per_h=0.0 if last is None else last.price_usd_per_h,
        billed_s=round(sum(one.hours(at) for one in machines) * 3600, 1),
        unknown=unknown,
        is_damaged=is_damaged,
    )


def hours_left(run: RunDir, *, max_hours: float, max_usd: float | None) -> float:
    """Return how long training may go on: what the run's earlier machines leave of ``max_hours``, or of the money.

    Args:
        run: The run, its machine up.
        max_hours: Limit in hours, for the run over all its tries.
        max_usd: Limit in US dollars, for the run over all its tries, or ``None``.
    """
    spend = spend_of(run)
    left_h = max_hours - spend.earlier_h
    if max_usd is not None and spend.limit_usd_per_h:
        left_h = min(left_h, (max_usd - spend.known_usd) / spend.limit_usd_per_h - WAY_HOME_H)
    return max(SHORTEST_H, left_h)


def dollars_left(run: RunDir, max_usd: float) -> float:
    """Return what is left of a limit in US dollars after all that the run's machines may have cost, 0 at least."""
    return max(0.0, max_usd - spend_of(run).known_usd)


@lru_cache(maxsize=KEPT_JOURNALS)
def _noted(content: bytes) -> tuple[tuple[Rental, ...], Line | None]:
    """Return the rentals by a journal alone, and its last line: it is asked many times between two lines."""
    lines = entries_in(content)
    return tuple(rentals_in(lines)), lines[-1] if lines else None


def _rentals(run: RunDir, journal: Journal) -> list[Rental]:
    """Return the rentals, with what other files of the run know of the last one; a damaged one knows nothing."""
    found = until_now(*_noted(journal.content()), journal.line_of_now())
    if not found:
        return []
    *earlier, last = found
    host = _object_in(run.host.read_or_nothing())
    host_id = host.get("instance_id")
    is_last = last.machine_id in (None, host_id) and host_id not in [one.machine_id for one in earlier]
    if host and is_last and last.price_usd_per_h is None:
        price = number_or_none(host.get("price_usd_per_h"))
        last = replace(last, machine_id=host_id, price_usd_per_h=price, is_answered=True)
    heard_at = moment_or_none(_object_in(run.file("lease.json").read_or_nothing()).get("said_at"))
    if heard_at and last.there_at and last.there_at < heard_at < (last.gone_at or run.world.now()):
        last = replace(last, seen_at=max(heard_at, last.seen_at or heard_at))  # a word reaches a machine that is there
    return [*earlier, last]


@lru_cache(maxsize=KEPT_JOURNALS)
def _object_in(content: bytes) -> Mapping[str, Any]:
    """Return the mapping that a file of the run holds, empty where it holds none: each word about money asks again."""
    return object_or_none(content) or {}


def _line(rental: Rental, now: datetime, *, has_start: bool) -> dict[str, Any]:
    moments = (rental.asked_at, rental.there_at, rental.seen_at, rental.gone_at)
    asked_at, there_at, seen_at, gone_at = (one and one.isoformat(timespec="milliseconds") for one in moments)
    high_usd = rental.high_usd(now) if has_start and not rental.is_set_back else None
    return {
        "cloud": rental.cloud,
        "machine_id": rental.machine_id,
        "price_usd_per_h": rental.price_usd_per_h,
        "disk_usd_per_h": None if rental.disk_usd_per_h is None else rental.disk_at_most_usd_per_h,
        "cost_range_usd": _outwards(rental.low_usd(), high_usd),
        "unknown": _why_unknown(rental) if has_start else "a damaged line of the journal may have asked for it",
        "asked_at": asked_at,
        "first_seen_at": there_at,
        "last_seen_at": seen_at,
        "gone_at": gone_at,
        "why_useless": rental.why_useless,
    }


def _outwards(low_usd: float, high_usd: float | None) -> list[float | None]:
    """Return a range in whole millionths of a dollar, never narrower than it was."""
    high = None if high_usd is None else math.ceil(high_usd * MILLION) / MILLION
    return [math.floor(low_usd * MILLION) / MILLION, high]


def _unknown(machines: Sequence[Rental], *, is_damaged: bool) -> tuple[str, ...]:
    reasons = ["a line of the journal is damaged, and may have been a request for a machine"] if is_damaged else []
    return (*reasons, *filter(None, map(_why_unknown, machines)))


def _why_unknown(rental: Rental) -> str | None:
    """Return why a machine's cost is not known, or only within wide bounds; ``None`` where it is."""
    if rental.is_set_back:
        what = f"machine {rental.machine_id}" if rental.machine_id else f"what {rental.cloud} was asked for"
        return f"the clock of this computer was set back while {what} may have billed"
    if rental.price_usd_per_h is not None:
        no_disk = f"the price of the disk of machine {rental.machine_id} on {rental.cloud} has no source"
        return no_disk if rental.disk_usd_per_h is None else None
    if rental.is_request:
        return f"{rental.cloud} was asked for a machine at {rental.asked_at:%Y-%m-%d %H:%M:%S} UTC, and has shown none"
    return f"{rental.cloud} gives no price of machine {rental.machine_id}, and Terraform has handed none back"


def by_phase_usd(run: RunDir, spend: Spend) -> dict[str, float]:
    """Return ``total_usd`` by phase; nothing where it is not known.

    The phases of the last machine are boot, build, train, upload, teardown, and idle for the time between; its disk,
    over all of them, stands apart, and so does what all earlier machines have cost, in one sum.
    """
    if not spend.machines or spend.total_usd is None:
        return {}
    now, (*earlier, last) = spend.now, spend.machines
    begun, end = last.asked_at, last.gone_at or now
    seconds = dict.fromkeys((*dict.fromkeys(PHASES.values()), "idle"), 0.0)
    for name, step in _steps(run).items():
        if name in PHASES:
            seconds[PHASES[name]] += _overlap_s(step, begun, end)
    seconds["idle"] = max(0.0, (end - begun).total_seconds() - sum(seconds.values()))
    price = last.price_usd_per_h if last.price_usd_per_h is not None else last.most_usd_per_h or 0.0
    by_phase = {phase: round(duration / 3600 * price, 4) for phase, duration in seconds.items()}
    if last.disk_at_most_usd_per_h:
        by_phase[DISK] = round(last.disk_at_most_usd_per_h * last.hours(now), 4)
    earlier_usd = sum(one.high_usd(now) or 0.0 for one in earlier)
    return by_phase | ({EARLIER: round(earlier_usd, 4)} if earlier else {})


def _steps(run: RunDir) -> dict[str, dict[str, object]]:
    """Return what ``state.json`` says of each step; of a damaged file, as much as can be read."""
    found = (object_or_none(run.file(STATE_NAME).read_or_nothing()) or {}).get("steps")
    return {name: step for name, step in found.items() if isinstance(step, dict)} if isinstance(found, dict) else {}


def _overlap_s(step: dict[str, object], begun: datetime, end: datetime) -> float:
    """Return how long a step went on between the two moments; 0 where its beginning cannot be read."""
    started, ended = moment_or_none(step.get("started_at")), moment_or_none(step.get("ended_at")) or end
    if started is None:
        return 0.0
    return max(0.0, (min(ended, end) - max(started, begun)).total_seconds())
