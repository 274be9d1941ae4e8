"""The emulated clouds' own meters: what each machine has cost so far, the judge of every rehearsal."""

from __future__ import annotations

from dataclasses import dataclass, field

SECONDS_PER_HOUR = 3600.0
HOURS_PER_MONTH = 730.0


@dataclass
class Meter:
    """Dollars of one resource that costs money, from the moment the cloud accepted it until it is gone.

    Attributes:
        started_at: When it began, in seconds since the epoch.
        usd_per_h: What it costs now, in US dollars an hour.
        ended_at: When it ended, or ``None`` while it runs.
    """

    started_at: float
    usd_per_h: float
    ended_at: float | None = None
    _counted_usd: float = 0.0
    _counted_to: float = field(default=-1.0)

    def __post_init__(self) -> None:
        """Count from the start."""
        self._counted_to = self.started_at

    @property
    def is_billing(self) -> bool:
        """Return whether it still costs money."""
        return self.ended_at is None and self.usd_per_h > 0

    def billed_usd(self, now: float) -> float:
        """Return its cost until ``now``, in US dollars."""
        until = now if self.ended_at is None else self.ended_at
        return self._counted_usd + max(0.0, until - self._counted_to) / SECONDS_PER_HOUR * self.usd_per_h

    def course(self, now: float) -> list[tuple[float, float]]:
        """Return moments with its cost until then, in US dollars: its beginning, the last new price, its end or now."""
        until = now if self.ended_at is None else self.ended_at
        return [(self.started_at, 0.0), (self._counted_to, self._counted_usd), (until, self.billed_usd(until))]

    def change(self, now: float, usd_per_h: float) -> None:
        """Go on at another price (a stopped pod bills its disk alone); a meter that has ended stays as it is."""
        if self.ended_at is not None:
            return
        self._counted_usd, self._counted_to = self.billed_usd(now), now
        self.usd_per_h = usd_per_h

    def stop(self, now: float) -> None:
        """End it; the second time changes nothing."""
        if self.ended_at is None:
            self.ended_at = now


def per_hour_of_month(usd_per_month: float) -> float:
    """Return the hourly price of what is priced by the month, in US dollars."""
    return usd_per_month / HOURS_PER_MONTH
