"""What a run costs: price times time by phase, and what comes on top of it; afterwards, how far off that was."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from runner.errors import UsageError
from runner.planning.estimate.duration import PHASES, Durations
from runner.planning.estimate.finished_run import IDLE, Row
from runner.planning.estimate.ranges import NOTHING, Range, between, exactly, total
from runner.prices.price_list import HOURS_PER_MONTH

GIB = 2**30
BILLING_UNITS_S = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
SPOT_INTERRUPTIONS_PER_H = between(-math.log(0.95) / HOURS_PER_MONTH, -math.log(0.80) / HOURS_PER_MONTH)
"""How often a cloud takes a spot machine back. AWS's advisor sorts machines from below 5 % to above 20 % a month
(sparecores.com/article/spot-instance-terminate-rates-per-az, 2024-04-16): the ends of that. The last class is open, and
GPUs that are sought for are in it: pass what is known of the machine."""


@dataclass(frozen=True)
class Billing:
    """How a machine is paid for.

    Attributes:
        price_usd_per_h: US dollars an hour.
        unit_s: Seconds that are billed at once: a begun one counts whole.
        minimum_s: Seconds that are billed at least.
        disk_size_gib: Disk that is paid for on its own, in GiB.
        disk_usd_per_gib_month: US dollars for a GiB of it a month.
        egress_usd_per_gib: US dollars for each GiB that leaves the cloud.
        is_spot: Whether the cloud may reclaim the machine.
    """

    price_usd_per_h: float
    unit_s: float = 1.0
    minimum_s: float = 0.0
    disk_size_gib: float = 0.0
    disk_usd_per_gib_month: float = 0.0
    egress_usd_per_gib: float = 0.0
    is_spot: bool = False

    def __post_init__(self) -> None:
        """Refuse what no cloud bills by.

        Raises:
            UsageError: If the unit is not above zero, or anything else is below it.
        """
        others = (
            self.price_usd_per_h,
            self.minimum_s,
            self.disk_size_gib,
            self.disk_usd_per_gib_month,
            self.egress_usd_per_gib,
        )
        if self.unit_s <= 0 or min(others) < 0:
            raise UsageError(f"plan: not a valid way of billing: {self}", resolution="correct the machine's prices")

    def billed_s(self, seconds: float) -> float:
        """Return the seconds that are billed for a machine that lived so long."""
        whole = math.ceil(round(seconds / self.unit_s, 6)) * self.unit_s
        return max(self.minimum_s, whole)


@dataclass(frozen=True)
class Spot:
    """What there is to lose on a spot machine.

    Attributes:
        checkpoint_interval_s: Seconds of training between two checkpoints; half of that is lost on average.
        interruptions_per_h: How often the cloud reclaims a machine.
    """

    checkpoint_interval_s: float
    interruptions_per_h: Range = SPOT_INTERRUPTIONS_PER_H


@dataclass(frozen=True)
class Cost:
    """What a run costs.

    Attributes:
        usd: US dollars by phase.
        extras_usd: US dollars for disk, egress, the billing unit and interruptions.
        total_usd: US dollars in all; the ends of the parts need not add up to its ends, what is expected does.
        billed_s: Seconds that are paid for.
    """

    usd: dict[str, Range]
    extras_usd: dict[str, Range]
    total_usd: Range
    billed_s: Range

    def to_mapping(self) -> dict[str, Any]:
        """Return plain data, as the plan keeps it under ``cost`` of a forecast."""
        return {
            "usd_by_phase": {phase: value.to_mapping() for phase, value in self.usd.items()},
            "extras_usd": {name: value.to_mapping() for name, value in self.extras_usd.items()},
            "total_usd": self.total_usd.to_mapping(),
            "billed_s": self.billed_s.to_mapping(),
        }


@dataclass(frozen=True)
class Compared:
    """A phase as it was estimated and as it was.

    Attributes:
        phase: The phase, or ``idle``, or ``total``.
        estimated_s: Seconds that were expected, where an estimate was made.
        actual_s: Seconds that it took.
        estimated_usd: US dollars that were expected.
        actual_usd: US dollars that it cost.
    """

    phase: str
    estimated_s: float | None
    actual_s: float | None
    estimated_usd: float | None
    actual_usd: float | None

    @property
    def error(self) -> float | None:
        """How far the estimate of the time was off, as a share of what it took: above 0 it was too high."""
        return _off(self.estimated_s, self.actual_s)

    @property
    def error_usd(self) -> float | None:
        """The same of the dollars."""
        return _off(self.estimated_usd, self.actual_usd)

    def to_mapping(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "error": self.error, "error_usd": self.error_usd}


def cost_of(durations: Durations, billing: Billing, *, egress_bytes: int = 0, spot: Spot | None = None) -> Cost:
    """Return the cost of a run on a machine.

    Args:
        durations: How long it takes.
        billing: How the machine is paid for.
        egress_bytes: What leaves the cloud.
        spot: What there is to lose, for a spot machine.

    Raises:
        UsageError: If the machine is a spot one, and nothing is said of what there is to lose.
    """
    if billing.is_spot and spot is None:
        raise UsageError("plan: a spot machine without checkpoints", resolution="say how often checkpoints are saved")
    price_usd_per_s = billing.price_usd_per_h / 3600
    usd = {phase: seconds.times(price_usd_per_s) for phase, seconds in durations.seconds.items()}
    lost_s = lost_seconds(durations, spot) if billing.is_spot and spot is not None else NOTHING
    lived_s = durations.total_s + lost_s
    billed_s = Range(*(billing.billed_s(value) for value in (lived_s.low, lived_s.expected, lived_s.high)))
    disk_usd_per_s = billing.disk_size_gib * billing.disk_usd_per_gib_month / HOURS_PER_MONTH / 3600
    extras = {
        "disk": lived_s.times(disk_usd_per_s),
        "egress": exactly(egress_bytes / GIB * billing.egress_usd_per_gib),
        "rounding": _rounding_usd(lived_s, billed_s, price_usd_per_s),
        "interruptions": lost_s.times(price_usd_per_s),
    }
    return Cost(usd, extras, billed_s.times(price_usd_per_s) + extras["disk"] + extras["egress"], billed_s)


def lost_seconds(durations: Durations, spot: Spot) -> Range:
    """Return the seconds that interruptions are expected to cost.

    Each costs half the time between two checkpoints, and a new machine until it trains again. The work that is done
    again can be interrupted too; that is left out, since it is a small share of a small share.
    """
    again = total(durations.seconds[phase] for phase in ("boot", "environment", "weights"))
    exposed_h = durations.seconds["train"].times(1 / 3600)
    rate, half_s = spot.interruptions_per_h, spot.checkpoint_interval_s / 2
    return Range(
        rate.low * exposed_h.low * (again.low + min(half_s, durations.seconds["train"].low)),
        rate.expected * exposed_h.expected * (again.expected + min(half_s, durations.seconds["train"].expected)),
        rate.high * exposed_h.high * (again.high + min(half_s, durations.seconds["train"].high)),
    )


def compare_with_actual(row: Row) -> list[Compared]:
    """Return the estimate of a finished run beside its time and cost, a row for each phase, then the sum.

    Of a run that was resumed the phases that it did more than once are not known, nor what all of it took.
    """
    rows = [
        Compared(
            name,
            row.estimated_seconds.get(name),
            row.seconds.get(name),
            row.estimated_usd.get(name),
            row.actual_usd.get(name),
        )
        for name in PHASES
    ]
    idle_usd = row.actual_usd.get(IDLE, 0.0)
    idle_s = idle_usd / row.price_usd_per_h * 3600 if idle_usd else 0.0
    return [*rows, *([Compared(IDLE, 0.0, idle_s, 0.0, idle_usd)] if idle_usd else []), _sum(row, idle_s)]


def _rounding_usd(lived_s: Range, billed_s: Range, price_usd_per_s: float) -> Range:
    """Return the cost of billed but unused time; the shortest run need not have the least."""
    pairs = zip(_values(lived_s), _values(billed_s), strict=True)
    low, expected, high = (max(0.0, billed - lived) * price_usd_per_s for lived, billed in pairs)
    return Range(min(low, expected, high), expected, max(low, expected, high))


def _values(span: Range) -> tuple[float, float, float]:
    return span.low, span.expected, span.high


def _off(estimated: float | None, actual: float | None) -> float | None:
    return None if estimated is None or not actual else estimated / actual - 1


def _sum(row: Row, idle_s: float) -> Compared:
    """Return the machine's time on both sides: without disk, egress and billing unit."""
    machine_usd = None if row.cost_usd is None else row.cost_usd - row.disk_usd
    return Compared(
        "total",
        sum(row.estimated_seconds.values()) if row.estimated_seconds else None,
        sum(row.seconds.values()) + idle_s if row.seconds and row.is_whole else None,
        sum(row.estimated_usd.values()) if row.estimated_usd else None,
        machine_usd if row.actual_usd else None,
    )
