"""The receipt: proof that nothing of a run is left, written after destroy from what was looked up, not from hope."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from runner.errors import TeardownError
from runner.models import Host
from runner.run_dir import RunDir, write_json
from runner.state import RunState


def write_receipt(
    run: RunDir,
    host: Host | None,
    *,
    processes: list[str],
    prefix_left: list[str],
    resources: list[str],
    kept: list[str],
) -> dict[str, Any]:
    """Write ``receipt.json`` from what is still there.

    Args:
        run: The run.
        host: The machine, or ``None`` when none was ever handed out.
        processes: Command lines on the machine that still belong to the run.
        prefix_left: Names under the run's prefix on the machine.
        resources: Addresses in the Terraform state.
        kept: Names under the prefix that were left on purpose, because they are nowhere else.

    Returns:
        The receipt.

    Raises:
        TeardownError: If anything is left that should not be; then there is no receipt.
    """
    left = [name for name in prefix_left if name not in kept]
    problems = [
        *(f"process on the machine: {line}" for line in processes),
        *(f"file on the machine: {name}" for name in left),
        *(f"Terraform resource: {address}" for address in resources),
    ]
    if problems:
        raise TeardownError(
            f"destroy: {len(problems)} thing(s) of run {run.run_id} are still there, the first is a {problems[0]}",
            details="\n".join(problems),
            resolution=f"run `make down RUN={run.run_id}` again",
        )
    state = RunState(run)
    receipt = {
        "format": 1,
        "run_id": run.run_id,
        "checked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": None if host is None else {"cloud": host.cloud, "instance_id": host.instance_id, "rented": False},
        "checks": {"trainer_processes": 0, "terraform_resources": 0, "files_on_machine": prefix_left},
        "kept_on_purpose": kept,
        "cost_usd": 0.0,
        "duration_s": {name: step.get("duration_s") for name, step in state.steps.items() if "duration_s" in step},
    }
    write_json(run.receipt, receipt)
    return receipt
