"""The ledger for people and programs: each finished run as it was estimated and as it was."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runner.planning.estimate.finished_run import Row, was_emulated
from runner.planning.estimate.settling import settle_row
from runner.planning.month import month_spend
from runner.report import wording
from runner.report.run.bills import bills
from runner.report.run.table import print_table
from runner.run.host_words import one_line
from runner.run.run_dir import RunDir
from runner.run.spend import spend_of
from runner.safety.asked import DAMAGE

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS = ("run", "env", "machine", "GPU", "est. time", "time", "est. cost", "cost", "estimate")
DISPENSABLE = ("GPU", "machine", "env", "est. time", "est. cost")
"""Columns that a narrow terminal goes without, in this order."""
NUMBERS = frozenset(COLUMNS[4:])


def to_mapping(row: Row) -> dict[str, Any]:
    """Return a run of the ledger as plain data, its phases among it."""
    settled = settle_row(row)
    whole = settled.total
    return {
        "run_id": row.run_id,
        "environment": row.environment,
        "is_emulated": row.is_emulated,
        "instance_type": row.instance_type,
        "gpu": row.gpu,
        "model": row.model,
        "estimated_h": _hours(whole.estimated_s),
        "actual_h": _hours(whole.actual_s),
        "estimated_usd": whole.estimated_usd,
        "actual_usd": whole.actual_usd,
        "error": whole.error,
        "error_usd": whole.error_usd,
        "cost_range_usd": row.receipt.get("cost_range_usd"),
        "machines": row.receipt.get("machines", []),
        "vendor_bill": bills(row.receipt),
        "phases": [phase.to_mapping() for phase in settled.phases],
    }


def print_costs(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print the ledger as a table, a row for each run; below it a line for each machine of a run that had several."""
    print_table([_words(row) for row in rows], COLUMNS, DISPENSABLE, NUMBERS, console)
    for row in rows:
        machines = row.receipt.get("machines", ())
        for line in machines if len(machines) > 1 else ():
            print(f" {row.run_id}: {wording.machine_words(line)}", file=None if console is None else console.file)


def print_month(runs: Sequence[RunDir], now: datetime) -> None:
    """Print what all runs have cost in the month of ``now``, if they have cost anything."""
    month = month_spend(runs, now)
    if month.by_run_usd or month.unknown:
        print(f"this month: {one_line(month.words)}")


def print_wasted(runs: Sequence[RunDir], now: datetime) -> None:
    """Print what all machines have cost that never trained, if there were any; emulated ones cost nothing."""
    lines: list[dict[str, Any]] = []
    for run in runs:
        with suppress(*DAMAGE):
            lines += [] if was_emulated(run) else spend_of(run, now).lines
    if (words := wording.wasted_words(lines)) is not None:
        print(f"wasted: {words}")


def _words(row: Row) -> dict[str, str]:
    whole = settle_row(row).total
    cells = (
        row.run_id,
        f"{row.environment}, emulated" if row.is_emulated else row.environment,
        row.instance_type or wording.UNKNOWN,
        row.gpu or wording.UNKNOWN,
        wording.duration(whole.estimated_s),
        wording.duration(whole.actual_s),
        wording.dollars(whole.estimated_usd),
        wording.dollars(whole.actual_usd),
        wording.off(whole.error if whole.error_usd is None else whole.error_usd),
    )
    return dict(zip(COLUMNS, cells, strict=True))


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / 3600
