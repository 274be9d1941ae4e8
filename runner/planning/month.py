"""What all runs of this computer have cost in a calendar month, by what stands in their folders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from runner.clouds.environments import find_environment
from runner.clouds.registry import endpoint_of
from runner.planning.estimate.finished_run import is_emulated, was_emulated
from runner.run.planned import read_plan
from runner.run.rentals import Rental
from runner.run.run_dir import RunDir, list_traces
from runner.run.run_file import RunFile
from runner.run.spend import Spend, spend_of
from runner.safety.asked import DAMAGE
from runner.world import World

MOST_NAMED = 3
"""Runs that a line names at most."""


@dataclass(frozen=True)
class MonthSpend:
    """What the machines of all runs have cost in a calendar month (UTC).

    Attributes:
        name: The month, as ``2026-11``.
        next_month: The first moment of the month after it.
        by_run_usd: US dollars at most by run; a run whose machine may still bill counts with the most that it may cost.
        unknown: Runs that may have cost more, because a price or a file is missing.
    """

    name: str
    next_month: datetime
    by_run_usd: dict[str, float]
    unknown: tuple[str, ...] = ()

    @property
    def usd(self) -> float:
        """US dollars of all runs together, as far as known."""
        return sum(self.by_run_usd.values())

    @property
    def words(self) -> str:
        """The sum in words: an upper end, or where something is unknown a lower one, and the dearest runs."""
        dearest = sorted(self.by_run_usd.items(), key=lambda item: -item[1])
        named = [f"{run_id} ${usd:.2f}" for run_id, usd in dearest[:MOST_NAMED]]
        more = [f"{len(dearest) - MOST_NAMED} more"] if len(dearest) > MOST_NAMED else []
        missing = [f"not all is known of {', '.join(self.unknown[:MOST_NAMED])}"] if self.unknown else []
        sum_of_all = f"at {'least' if self.unknown else 'most'} ${self.usd:.2f} in {self.name}"
        return "; ".join([sum_of_all, *filter(None, [", ".join(named + more)]), *missing])


def limited_month(run_file: RunFile, runs_dir: Path, world: World) -> MonthSpend | None:
    """Return what all runs have cost this month, where that has a limit and the run costs something.

    Raises:
        OSError: If the folder of the runs cannot be read.
    """
    env = run_file.compute.env
    if run_file.budget.month_usd is None or not find_environment(env).bills:
        return None
    emulated = is_emulated(endpoint_of(env, world.environ))
    return month_spend(list_traces(runs_dir, world), world.now(), emulated=emulated)


def month_spend(runs: Sequence[RunDir], now: datetime, *, emulated: bool = False) -> MonthSpend:
    """Return what the machines of all runs have cost in the month of ``now``.

    Of a machine that was there at the turn of the month, only the part in this month counts.

    Args:
        runs: Run folders.
        now: The moment.
        emulated: Whether to count the runs on emulated clouds, which cost nothing, in place of the others.
    """
    begun = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    by_run: dict[str, float] = {}
    unknown = []
    for run in runs:
        try:
            if was_emulated(run) != emulated:
                continue
            usd, is_known = _of_run(run, begun, now)
        except DAMAGE:
            usd, is_known = 0.0, False
        if usd:
            by_run[run.run_id] = math.ceil(usd * 100) / 100
        if not is_known:
            unknown.append(run.run_id)
    return MonthSpend(f"{begun:%Y-%m}", _month_after(begun), by_run, tuple(unknown))


def _of_run(run: RunDir, begun: datetime, now: datetime) -> tuple[float, bool]:
    """Return the US dollars of a run's machines since a moment at most, and whether it cannot be more.

    A machine that may bill on counts with the most that it may cost until its end.
    """
    spend = spend_of(run, now)
    usd = sum(_since(one, begun, now) for one in spend.machines if one.gone_at is not None)
    is_known = spend.total_usd is not None or not _reaches(spend, begun)
    there = [_since(one, begun, now) for one in spend.machines if one.gone_at is None]
    if not there:
        return usd, is_known
    most_usd = _most_usd(run)
    return usd + max(sum(there), most_usd or 0.0), is_known and most_usd is not None


def _since(rental: Rental, begun: datetime, now: datetime) -> float:
    """Return the US dollars that a machine has cost at most since a moment."""
    hours = ((rental.gone_at or now) - max(rental.asked_at, begun)).total_seconds() / 3600
    return max(0.0, hours) * (rental.limit_usd_per_h or 0.0)


def _reaches(spend: Spend, begun: datetime) -> bool:
    """Return whether a run may have had something after a moment; one of which no line is known may have."""
    ends = [one.gone_at for one in spend.machines]
    return not ends or any(end is None or end > begun for end in ends)


def _most_usd(run: RunDir) -> float | None:
    """Return the most that the machine of a run may cost until its end, by its plan; ``None`` where nobody knows."""
    try:
        return read_plan(run).most_usd
    except DAMAGE:
        return None


def _month_after(begun: datetime) -> datetime:
    return (begun + timedelta(days=32)).replace(day=1)
