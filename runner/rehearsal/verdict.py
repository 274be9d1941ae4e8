"""What a rehearsal showed: who still bills by the clouds' own meters, what was billed, which promise did not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.emulation.cloud_state import REHEARSAL_KEY
from runner.errors import EXIT_LEFTOVERS
from runner.guard.place import living_guard
from runner.rehearsal.emulators import Emulators
from runner.rehearsal.faults import HomeFault, RunnerFault
from runner.rehearsal.home import read_leniently
from runner.rehearsal.receipt_check import outside_receipt
from runner.run.run_dir import RunDir, list_runs
from runner.world import RealWorld


@dataclass(frozen=True)
class Verdict:
    """What a rehearsal showed.

    Attributes:
        exit_code: Exit status of the last command.
        machines: The emulated cloud's own bill, a row each.
        leftovers: What else is still there: keys, volumes, addresses.
        receipt: The receipt of the run, or ``None``.
        faults_fired: Faults that happened.
        broken: Promises that did not hold, a line each; none is what one hopes for.
        folder: Where all of it is kept.
    """

    exit_code: int
    machines: list[dict[str, Any]]
    leftovers: list[dict[str, Any]]
    receipt: dict[str, Any] | None
    faults_fired: list[str]
    broken: list[str]
    folder: str

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return it for people."""
        bill = [
            f"  {row['id']}  {row['instance_type']} in {row['region']}: ${row['price_usd_per_h']:.2f}/h, "
            f"${row['billed_usd']:.4f} billed, {_how_it_ended(row)}"
            for row in self.machines
        ]
        faults = [f"faults that happened: {', '.join(self.faults_fired)}"] if self.faults_fired else []
        receipt = "no receipt" if self.receipt is None else f"receipt of {self.receipt['checked_at']}"
        held = "every promise held" if not self.broken else "; ".join(self.broken)
        return ["simulated bill:", *(bill or ["  nothing was rented"]), *faults, receipt, f"rehearsal: {held}"]


def judge(
    emulators: Emulators,
    folder: Path,
    exit_code: int,
    runner_faults_fired: Sequence[str],
    runner_faults: Sequence[RunnerFault | HomeFault],
    *,
    needs_receipt: bool = True,
    broken: Sequence[str] = (),
) -> Verdict:
    """Look at the meters, the receipt and the run's files, and say which promises did not hold.

    Args:
        emulators: The emulated clouds.
        folder: That of the rehearsal.
        exit_code: Exit status of the last command.
        runner_faults_fired: Those of them that happened.
        runner_faults: Faults that were to happen to it, or on the user's own machine.
        needs_receipt: Whether the run was ended by its own runner: a lease or a sweep writes no receipt.
        broken: Promises that were broken on the way.
    """
    machines: list[dict[str, Any]] = emulators.ask("/machines")["machines"]
    leftovers: list[dict[str, Any]] = emulators.ask("/leftovers")["leftovers"]
    faults = emulators.ask("/faults")
    runs = list_runs(folder / "runs", RealWorld())
    receipt = (read_leniently(runs[-1].path / "receipt.json") if runs else {}) or None
    fired = [*(str(entry["name"]) for entry in faults["fired"]), *runner_faults_fired]
    never = [*faults["never_fired"], *(fault.name for fault in runner_faults if fault.name not in fired)]
    broken = [*broken, *_money(machines, leftovers, exit_code), *_secrets(folder / "runs")]
    if needs_receipt and runs and receipt is None and exit_code != EXIT_LEFTOVERS:
        broken.append(f"there is no receipt, with exit status {exit_code}")
    if receipt is not None and "cost_range_usd" in receipt:
        broken += outside_receipt(receipt, machines)
    broken += [f"the guard of {run.run_id} lives on, though the run is over" for run in runs if _is_guarded(run)]
    broken += [f"{name} never happened" for name in never]
    return Verdict(exit_code, machines, leftovers, receipt, fired, broken, str(folder))


def _how_it_ended(machine: dict[str, Any]) -> str:
    return "STILL BILLING" if machine["is_billing"] else f"terminated: {machine['ended_by']}"


def _money(machines: list[dict[str, Any]], leftovers: list[dict[str, Any]], exit_code: int) -> list[str]:
    """Return the resources that remain or still bill, unless the exit status says so."""
    if exit_code == EXIT_LEFTOVERS:
        return []  # the runner named it: that is the promise for a cloud that does not let go
    billing = [f"{row['id']} still bills with exit status {exit_code}" for row in machines if row["is_billing"]]
    there = [f"{row['kind']} {row['id']} is still there with exit status {exit_code}" for row in leftovers]
    return billing + there


def _is_guarded(run: RunDir) -> bool:
    """Return whether a run that is over by its receipt still has a guard."""
    return run.receipt.exists() and living_guard(run.run_id, run.world) is not None


def _secrets(runs: Path) -> list[str]:
    """Return the files of the runs that hold the account's key."""
    found = [path for path in sorted(runs.rglob("*")) if path.is_file() and REHEARSAL_KEY.encode() in path.read_bytes()]
    return [f"{path.relative_to(runs)} holds the account's key" for path in found]
