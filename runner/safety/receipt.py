"""The receipt: proof that nothing of a run is left, written after destroy from what was looked up, not from hope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runner.cloud_api.models import Resource
from runner.errors import TeardownError, counted
from runner.run.models import Host
from runner.run.run_dir import RunDir, write_json
from runner.run.spend import by_phase_usd, spend_of
from runner.run.state import RunState


@dataclass(frozen=True)
class Findings:
    """What was looked up after destroy.

    Attributes:
        processes: Command lines on a given machine that still belong to the run.
        prefix_left: Names under the run's prefix on a given machine.
        kept: Those of them that were left on purpose, because they are nowhere else.
        terraform_resources: Addresses in the Terraform state.
        cloud_resources: By each configured cloud, what its own listing still shows of this run.
        clouds_not_read: Clouds that could not be read, on which the run never rented, and why.
        cloud_ended: What the sweep had to end, because Terraform did not.
        looked_for_s: Seconds from the first look at the run's cloud to the last.
        patience: What the waits between looks were multiplied by (``DOUSE_PATIENCE``); 1 for real clouds.
    """

    processes: list[str] = field(default_factory=list)
    prefix_left: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    terraform_resources: list[str] = field(default_factory=list)
    cloud_resources: Mapping[str, list[Resource]] = field(default_factory=dict)
    clouds_not_read: Mapping[str, str] = field(default_factory=dict)
    cloud_ended: list[Resource] = field(default_factory=list)
    looked_for_s: float = 0.0
    patience: float = 1.0

    def problems(self) -> list[str]:
        """Return the leftovers, one line each; those that cost money first."""
        return [
            *(
                f"{found.kind} {found.id} on {cloud}"
                for cloud, there in self.cloud_resources.items()
                for found in there
            ),
            *(f"process on the machine: {line}" for line in self.processes),
            *(f"file on the machine: {name}" for name in self.prefix_left if name not in self.kept),
            *(f"Terraform resource: {address}" for address in self.terraform_resources),
        ]


def write_receipt(
    run: RunDir,
    host: Host | None,
    findings: Findings,
    *,
    now: datetime,
    rented: bool,
    estimated_usd: Mapping[str, float] | None = None,
    bills: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Write ``receipt.json`` from what is still there.

    Args:
        run: The run.
        host: The machine, or ``None`` when none was ever handed out.
        findings: What was looked up.
        now: When it was looked up (UTC).
        rented: Whether the environment bills, so that the machine was rented for the run.
        estimated_usd: US dollars that were expected, by phase of the estimate and for interruptions.
        bills: What each cloud itself bills, as far as it has said: see ``docs/money-safety.md``.

    Returns:
        The receipt.

    Raises:
        TeardownError: If anything is left that should not be; then there is no receipt.
    """
    problems = findings.problems()
    if problems:
        raise TeardownError(
            f"destroy: {counted(len(problems), 'resource')} of run {run.run_id} left: {problems[0]}",
            details="\n".join(problems),
            resolution=f"run `make down RUN={run.run_id}` again",
        )
    spend = spend_of(run)
    receipt = {
        "format": 2,
        "run_id": run.run_id,
        "checked_at": now.isoformat(timespec="seconds"),
        "machine": None if host is None else {"cloud": host.cloud, "instance_id": host.instance_id, "rented": rented},
        "checks": {
            "trainer_processes": 0,
            "terraform_resources": 0,
            "files_on_machine": findings.prefix_left,
            "clouds": {cloud: len(there) for cloud, there in findings.cloud_resources.items()},
        },
        "clouds_not_read": dict(findings.clouds_not_read),
        "looked_for_s": findings.looked_for_s,
        "patience": findings.patience,
        "kept_on_purpose": [name for name in findings.kept if name in findings.prefix_left],
        "ended_by_the_sweep": [f"{found.kind} {found.id} on {found.cloud}" for found in findings.cloud_ended],
        "cost_usd": spend.total_usd,
        "cost_range_usd": spend.range_usd,
        "cost_unknown": list(spend.unknown),
        "machines": spend.lines,
        "vendor_bill": dict(bills or {}),
        "cost_by_phase_usd": by_phase_usd(run, spend),
        "estimated_usd": round(sum(estimated_usd.values()), 4) if estimated_usd else None,
        "estimated_by_phase_usd": dict(estimated_usd or {}),
        "price_usd_per_h": spend.price_usd_per_h,
        "billed_s": spend.billed_s,
        "duration_s": {
            name: step.get("duration_s") for name, step in RunState(run).steps.items() if "duration_s" in step
        },
    }
    write_json(run.receipt, receipt)
    return receipt
