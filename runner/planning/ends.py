"""When a machine has to be over at the latest, and what it may cost until then: from the run file and the forecast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from runner.cloud_api.models import Offer
from runner.clouds.registry import CLOUDS
from runner.errors import UsageError, counted
from runner.planning.estimate.billing import disk_usd_per_h
from runner.planning.month import MonthSpend
from runner.run.planned import PlannedMachine
from runner.run.run_file import BudgetSection

SPARE_HOURS = 1.0
"""A rented machine outlives the longest training by this much: for set-up before, and the way home after."""
LEAST_TRAINING_H = 2.0
TIMES_FORECAST = 3.0
"""A run that takes three times the upper end of its forecast is not what was planned: it stops with a checkpoint."""
BLIND_TRAINING_H = 24.0
"""Limit of a run of which nothing is foreseen."""
SET_UP_H = 0.5
"""A machine that is over before it is set up is money for nothing: boot, packages and weights took up to this long."""


class BudgetError(UsageError):
    """No available machine does the run within its budget."""


@dataclass(frozen=True)
class Used:
    """What earlier tries of a run have used.

    Attributes:
        usd: US dollars of all their machines.
        hours: Hours that count against ``budget.max_hours``.
    """

    usd: float = 0.0
    hours: float = 0.0


@dataclass(frozen=True)
class Means:
    """What a run may still use.

    Attributes:
        budget: What the run file says.
        used: What earlier tries have used of that.
        month: What all runs have cost this month, those tries among them; ``None`` where that has no limit.
    """

    budget: BudgetSection
    used: Used = Used()
    month: MonthSpend | None = None

    @property
    def usd(self) -> float:
        """US dollars that are left; without a limit there is no end to them."""
        return min(self._of_run_usd, self._of_month_usd)

    @property
    def limit(self) -> str:
        """The key of the limit that leaves the least."""
        return "budget.month_usd" if self._of_month_usd < self._of_run_usd else "budget.max_usd"

    @property
    def _of_run_usd(self) -> float:
        return math.inf if self.budget.max_usd is None else max(0.0, self.budget.max_usd - self.used.usd)

    @property
    def _of_month_usd(self) -> float:
        if self.budget.month_usd is None or self.month is None:
            return math.inf
        return max(0.0, self.budget.month_usd - self.month.usd)

    def training_h(self, longest_s: float | None) -> float:
        """Return the hours after which the trainer saves and stops.

        Args:
            longest_s: The upper end of the forecast in seconds, or ``None`` where there is none.
        """
        if self.budget.max_hours is not None:
            return max(0.0, self.budget.max_hours - self.used.hours)
        if longest_s is None:
            return BLIND_TRAINING_H
        return max(LEAST_TRAINING_H, TIMES_FORECAST * longest_s / 3600)


@dataclass(frozen=True)
class End:
    """The end of a machine that is rented.

    Attributes:
        training_h: Hours after which the trainer saves and stops.
        by_time_h: Hours from the request after which the machine has to be over, whatever it costs.
        late_h: Hours by which the end may come later: where a timer of the machine's own counts from its boot.
        usd_per_h: The highest price with the disk.
        left_usd: What there is to spend.
        longest_h: The upper end of the forecast, or ``None`` where there is none.
        disk_usd_per_h: What of ``usd_per_h`` is the disk.
        limit: The key of the limit that leaves ``left_usd``.
    """

    training_h: float
    by_time_h: float
    late_h: float
    usd_per_h: float
    left_usd: float
    longest_h: float | None
    disk_usd_per_h: float = 0.0
    limit: str = "budget.max_usd"

    @property
    def hours(self) -> float:
        """Hours from the request after which the machine has to be over: by time, or when the money is spent."""
        return min(self.by_time_h, self._paid_h)

    @property
    def most_usd(self) -> float:
        """The most that the machine may cost until then."""
        return (self.hours + self.late_h) * self.usd_per_h

    @property
    def needed_usd(self) -> float:
        """What the longest run may cost there, as far as time lets it; where nothing is foreseen, its set-up."""
        longest_h = SET_UP_H if self.longest_h is None else self.longest_h
        return (min(longest_h, self.by_time_h) + self.late_h) * self.usd_per_h

    @property
    def is_too_early(self) -> bool:
        """Whether the money is spent before the run may be over there, or before it can begin."""
        return self.needed_usd > self.left_usd

    @property
    def _paid_h(self) -> float:
        return math.inf if not self.usd_per_h else max(0.0, self.left_usd / self.usd_per_h - self.late_h)

    def of(self, machine: PlannedMachine) -> PlannedMachine:
        """Return a machine with this end."""
        return replace(
            machine,
            training_limit_h=round(self.training_h, 4),
            hard_end_h=round(self.hours, 4),
            most_usd=math.ceil(round(self.most_usd * 100, 4)) / 100,
            disk_usd_per_h=round(self.disk_usd_per_h, 6),
        )


def end_of(
    environment: str, offer: Offer, machine: PlannedMachine, means: Means, disk_gib: float, longest_s: float | None
) -> End:
    """Return when a machine has to be over.

    Args:
        environment: Where it is rented.
        offer: The machine as the cloud lists it.
        machine: The same, with the most that is paid for it.
        means: What the run may still use.
        disk_gib: Disk that is rented with it, in GiB.
        longest_s: The upper end of the forecast there in seconds, or ``None`` where there is none.
    """
    training_h = means.training_h(longest_s)
    disk = disk_usd_per_h(environment, offer, disk_gib)
    return End(
        training_h=training_h,
        by_time_h=training_h + SPARE_HOURS,
        late_h=_late_h(environment),
        usd_per_h=machine.max_price_usd_per_h + disk,
        left_usd=means.usd,
        longest_h=None if longest_s is None else longest_s / 3600,
        disk_usd_per_h=disk,
        limit=means.limit,
    )


def check_budget(ends: Mapping[str, End], means: Means) -> None:
    """Refuse a run that may cost more than what is left on every machine.

    Args:
        ends: When the machines that the run fits have to be over, by their names.
        means: What the run may still use.

    Raises:
        BudgetError: If there is no machine for it; the hint says what the cheapest needs.
    """
    needed = {name: end.needed_usd for name, end in ends.items()}
    cheapest = min(needed, key=lambda name: needed[name], default=None)
    if cheapest is None or needed[cheapest] <= means.usd:
        return
    limit, spent, spent_usd, instead = _limit_words(means)
    enough_usd = math.ceil((needed[cheapest] + spent_usd) * 100) / 100
    raise BudgetError(
        f"plan: {limit}{spent}, and the cheapest machine, {cheapest}, "
        f"may cost up to ${needed[cheapest]:.2f} until the run is over",
        details=f"by the upper end of the forecast, the highest price to pay and the disk; "
        f"{counted(len(needed), 'machine')} compared",
        resolution=f"set {means.limit} to {enough_usd:.2f}, {instead}or train less or a smaller model",
    )


def _limit_words(means: Means) -> tuple[str, str, float, str]:
    """Return the limit that leaves the least, what is spent of it in words and in US dollars, and what else helps."""
    if means.month is not None and means.limit == "budget.month_usd":
        spent = f", of which all runs have spent {means.month.words}"
        return (
            f"budget.month_usd is {means.budget.month_usd:g}",
            spent,
            means.month.usd,
            f"wait until {means.month.next_month:%Y-%m-%d}, ",
        )
    spent = f", of which earlier tries have spent ${means.used.usd:.2f}" if means.used.usd else ""
    return f"budget.max_usd is {means.budget.max_usd:g}", spent, means.used.usd, ""


def _late_h(environment: str) -> float:
    """Return the hours by which a machine's own timer may begin after the request."""
    record = CLOUDS.get(environment)
    return record.boot.high_s / 3600 if record is not None and record.hard_end_from_boot else 0.0
