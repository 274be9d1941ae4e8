"""After a run: what was estimated beside what it took and cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner.planning.estimate.cost import Compared, compare_with_actual
from runner.planning.estimate.finished_run import Row, read_row
from runner.run.run_dir import RunDir

LEAST_S = 1.0
"""A phase that took less, and was to take less, is not worth a word."""


@dataclass(frozen=True)
class Settled:
    """The estimate of a finished run beside what it took and cost.

    Attributes:
        phases: A row for each phase.
        total: The machine's time in all.
        extras_usd: US dollars that were estimated on top: disk, egress, the cloud's billing unit.
    """

    phases: tuple[Compared, ...]
    total: Compared
    extras_usd: float

    def to_mapping(self) -> dict[str, Any]:
        """Return plain data, as ``report.json`` has it under ``estimate``."""
        return {
            "phases": [phase.to_mapping() for phase in self.phases],
            "total": self.total.to_mapping(),
            "extras_usd": self.extras_usd,
        }

    @property
    def notable(self) -> tuple[Compared, ...]:
        """The phases that are worth a word."""
        return tuple(one for one in self.phases if max(one.estimated_s or 0.0, one.actual_s or 0.0) >= LEAST_S)


def settle(run: RunDir) -> Settled | None:
    """Return the estimate of a finished run beside what it took; ``None`` where it is not finished, or had none."""
    row = read_row(run)
    return None if row is None or not row.estimated_seconds else settle_row(row)


def settle_row(row: Row) -> Settled:
    """Return a run of the ledger as it was estimated and as it was."""
    *phases, whole = compare_with_actual(row)
    extras_usd = sum(usd for name, usd in row.estimated_extras_usd.items() if name != "interruptions")
    return Settled(tuple(phases), whole, round(extras_usd, 4))
