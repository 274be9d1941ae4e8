"""Provision: Terraform hands out the machine; the intent stands in the journal before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runner.adapters.terraform import Terraform
from runner.context import Context
from runner.contract import parse_host
from runner.models import Host
from runner.run_dir import read_json, write_json
from runner.safety.journal import Journal


def provision(ctx: Context) -> Host:
    """Carry out Terraform's plan and return the machine.

    Raises:
        TerraformError: If Terraform failed.
        HostContractError: If what it handed back is no host.
        ConnectionLostError: If the machine does not answer.
    """
    plan: dict[str, Any] = read_json(ctx.run.file("plan.json"))
    journal = Journal(ctx.run.file("journal.jsonl"))
    terraform = Terraform(
        Path(plan["terraform"]),
        ctx.run.terraform,
        log=ctx.run.log("provision"),
        on_progress=ctx.view.progress,
        cancel=ctx.stop.wants_out,
    )
    journal.intent("provision", run_id=ctx.run.run_id, environment=plan["environment"])
    terraform.apply_plan()
    outputs = terraform.outputs()
    host = parse_host(outputs.get("host"))
    write_json(ctx.run.host, host.to_mapping())
    journal.answer("provision", instance_id=host.instance_id)
    machine = ctx.machine(host)
    try:
        ctx.view.line(f"machine: {machine.name} (home {machine.home})")  # the first login pins the host key
    finally:
        machine.close()
    return host
