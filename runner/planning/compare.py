"""A run on every platform that people compare, side by side, cheapest first, and why one is out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from runner.cloud_api.models import Offer
from runner.planning.candidates import Wanted, suitable
from runner.planning.estimate.finished_run import Row
from runner.planning.estimate.forecast import Forecast, Task, forecast
from runner.planning.estimate.gpu_specs import find_gpu
from runner.planning.gpu_class import is_uncertain, why_out
from runner.prices.platforms import Platform, electricity_usd_per_h, is_trusted, platforms
from runner.prices.price_list import ANYWHERE, age_days, all_prices, is_stale
from runner.prices.refresh import listed_offers
from runner.run.planned import Elsewhere
from runner.run.run_file import RunFile

OWN_GPU = "RTX 4090"
"""The GPU that a machine of one's own is taken to have."""


@dataclass(frozen=True)
class Line:
    """One platform.

    Attributes:
        platform: The platform.
        best: The run on its machine that costs least, or ``None`` where there is none.
        why_out: Why there is none, or why it cannot be taken; empty where it can.
        prices_as_of: Day on which the price was read, or ``None`` where there is none.
        stale_days: How old it is, where it is too old to be relied on.
        watts: What a machine of one's own draws, where its price is that of electricity alone.
    """

    platform: Platform
    best: Forecast | None
    why_out: str = ""
    prices_as_of: date | None = None
    stale_days: int | None = None
    watts: float | None = None


def compare(task: Task, today: date, ledger: Sequence[Row] = ()) -> list[Line]:
    """Return a line for each platform: those that the run fits, cheapest first, then the others.

    Args:
        task: The run.
        today: The day, for the age of prices.
        ledger: Earlier runs, which correct the estimates.
    """
    lines = [_line(task, platform, today, ledger) for platform in platforms().values()]
    return sorted(lines, key=lambda line: (bool(line.why_out), line.best.usd if line.best else math.inf))


def _line(task: Task, platform: Platform, today: date, ledger: Sequence[Row]) -> Line:
    if platform.name == "own":
        return _own_gpu(task, platform, ledger)
    if platform.prices_from is None:
        return Line(platform, None, platform.why_no_price)
    wanted = task.run_file.compute
    if not is_trusted(platform, wanted.trust):
        return Line(platform, None, f"community machines, and compute.trust is {wanted.trust}")
    offers = _suitable(listed_offers(platform.prices_from), platform, task.run_file)
    found = [forecast(task, platform.name, offer, ledger) for offer in offers]
    if not found:
        return Line(
            platform, None, "no listed machine is what section compute asks for (kind, region, spot, memory, disk)"
        )
    fitting = [one for one in found if one.fits and one.cost is not None]
    if not fitting:
        largest = max(found, key=lambda one: one.offer.gpu_memory_gib)
        return Line(
            platform, None, f"needs {largest.needed_gib:.0f} GiB, the largest GPU has {largest.offer.gpu_memory_gib:g}"
        )
    ceiling = wanted.max_price_usd_per_h or math.inf
    best = min(
        fitting,
        key=lambda one: (
            one.offer.price_usd_per_h > ceiling,
            is_uncertain(one.offer, task.run_file),
            round(one.usd, 2),
            one.hours,
        ),
    )
    why_out = _why_out(task, best)
    return Line(platform, best, why_out, *_day(platform.prices_from, best.offer, today))


def _suitable(listed: Sequence[Offer], platform: Platform, run_file: RunFile) -> list[Offer]:
    """Return the machines that the run file would have; kinds and regions have the names of its own environment.

    A price that is too high is left in: it shows why a platform is left out.
    """
    compute = run_file.compute
    is_own = platform.environment == compute.env
    wanted = Wanted(
        instance_types=tuple(compute.instance_types) if is_own else (),
        spot_enabled=compute.spot_enabled,
        trust=compute.trust,
        gpu_memory_gib=compute.min_gpu_memory_gib,
        disk_size_gib=compute.disk_size_gib,
    )
    regions = (ANYWHERE, *compute.regions) if is_own and compute.regions else None
    suited = suitable(listed, wanted, lambda offer: why_out(offer, run_file))
    return [offer for offer in suited if regions is None or offer.region in regions]


def _why_out(task: Task, best: Forecast) -> str:
    """Return the reason why a run may not use a machine that fits."""
    ceiling, most = task.run_file.compute.max_price_usd_per_h, task.run_file.budget.max_usd
    if ceiling is not None and best.offer.price_usd_per_h > ceiling:
        return f"${best.offer.price_usd_per_h:.2f}/h is over compute.max_price_usd_per_h (${ceiling:g})"
    if most is not None and best.usd > most:
        return f"${best.usd:.2f} is over budget.max_usd (${most:g})"
    return ""


def _own_gpu(task: Task, platform: Platform, ledger: Sequence[Row]) -> Line:
    """Return the cost of a GPU of one's own: its electricity, at its power limit."""
    gpu = find_gpu(OWN_GPU)
    if gpu is None or gpu.tdp_watts is None or gpu.memory_gib is None:
        return Line(platform, None, f"{OWN_GPU} is not in the table of GPUs")
    price = electricity_usd_per_h(gpu.tdp_watts)
    offer = Offer("own", "here", False, price, gpu.name, 1, gpu.memory_gib)
    found = forecast(task, "local", offer, ledger)
    if not found.fits or found.durations is None:
        return Line(platform, None, f"needs {found.needed_gib:.0f} GiB, an {OWN_GPU} has {gpu.memory_gib:g}")
    return Line(platform, found, watts=gpu.tdp_watts)


def _day(name: str, offer: Offer, today: date) -> tuple[date | None, int | None]:
    """Return the day on which a price was read, and how old it is where it is stale."""
    for row in all_prices(name):
        if (row.instance_type, row.region, row.spot) == (offer.instance_type, offer.region, offer.spot):
            return row.as_of, age_days(row, today) if is_stale(row, today) else None
    return None, None


def cheapest_elsewhere(task: Task, today: date, ledger: Sequence[Row] = ()) -> Elsewhere | None:
    """Return the run where Douse rents it cheapest, apart from where it is to go.

    ``None`` where it fits no other, or asks for no GPU: then nobody's prices say anything of it.

    Args:
        task: The run.
        today: The day, for the age of prices.
        ledger: Earlier runs, which correct the estimates.
    """
    here = task.run_file.compute.env
    if not task.run_file.compute.gpu_required:
        return None
    others = [one for one in platforms().values() if one.environment not in (None, "local", here)]
    lines = [line for one in others if not (line := _line(task, one, today, ledger)).why_out]
    cheapest = min(lines, key=lambda line: line.best.usd if line.best else math.inf, default=None)
    return None if cheapest is None else _elsewhere(cheapest)


def _elsewhere(line: Line) -> Elsewhere | None:
    """Return the part of a line that the plan keeps; ``None`` where no dollars are known."""
    best = line.best
    if best is None or best.cost is None or best.durations is None or line.platform.environment is None:
        return None
    return Elsewhere(
        environment=line.platform.environment,
        gpu=best.offer.gpu_name,
        trust=line.platform.trust,
        usd=best.cost.total_usd.to_mapping(),
        seconds=best.durations.total_s.to_mapping(),
        prices_as_of="" if line.prices_as_of is None else line.prices_as_of.isoformat(),
        stale_days=line.stale_days,
    )


def runs_in(best: Forecast | None, budget_usd: float | None) -> int | None:
    """Return how many runs a budget pays for, by the highest of the expected costs."""
    if best is None or best.cost is None or budget_usd is None:
        return None
    dearest = best.cost.total_usd.high
    return int(budget_usd // dearest) if dearest else None
