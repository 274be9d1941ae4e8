"""Destroy: end the trainer, take away what was put on the machine, give the machine back, prove it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from runner.adapters.machine import Machine
from runner.adapters.terraform import Terraform
from runner.context import Context
from runner.errors import ConnectionLostError, HostKeyError, TeardownError, TerraformError
from runner.models import Box, Host
from runner.run_dir import read_json
from runner.safety.journal import Journal
from runner.safety.receipt import write_receipt

LIST_PROCESSES = (
    "ps -eww -o pid= -o args= 2>/dev/null || "
    'for f in /proc/[0-9]*; do echo "${f#/proc/} $(tr "\\0" " " < "$f/cmdline" 2>/dev/null)"; done'
)
"""One line a process, its number first; containers often have no ``ps``."""
GONE_S = 10.0


def destroy(ctx: Context, *, keep_output: bool) -> dict[str, Any]:
    """Take everything of the run down and return the receipt. Repeatable: what is gone already is fine.

    Args:
        ctx: The run.
        keep_output: Leave the trainer's output folder on the machine, because it is nowhere else.

    Raises:
        TeardownError: If something may still exist.
    """
    journal = Journal(ctx.run.file("journal.jsonl"))
    journal.intent("destroy", run_id=ctx.run.run_id)
    host = ctx.host()
    kept = ["output"] if keep_output else []
    processes, left = _clear_machine(ctx, host, kept) if host is not None else ([], [])
    resources = _destroy_resources(ctx)
    receipt = write_receipt(
        ctx.run,
        host,
        processes=processes,
        prefix_left=left,
        resources=resources,
        kept=[name for name in kept if name in left],
    )
    journal.answer("destroy", left=left)
    return receipt


def _clear_machine(ctx: Context, host: Host, kept: list[str]) -> tuple[list[str], list[str]]:
    """End the run's processes and remove its files there; return what is left of both."""
    machine = ctx.machine(host)
    try:
        box = ctx.box(host, machine)
        processes = _end_processes(machine, box)
        for name in machine.names(box.prefix):
            if name not in kept:
                ctx.view.progress(f"removing {name}")
                machine.remove_tree(f"{box.prefix}/{name}")
        left = machine.names(box.prefix)
        if not left:
            machine.remove_tree(box.prefix)
        return processes, left
    except (ConnectionLostError, HostKeyError) as err:
        raise TeardownError(
            f"destroy: {err.message}; the trainer and its files may still be there",
            details=err.details,
            resolution=f"when the machine is back, run `make down RUN={ctx.run.run_id}`",
        ) from err
    finally:
        machine.close()


def _end_processes(machine: Machine, box: Box) -> list[str]:
    """End every process that was started from the run's prefix; return those that will not go."""
    deadline = time.monotonic() + GONE_S
    while lines := processes_of(machine, box):
        machine.run(["kill", "-9", *(line.split()[0] for line in lines)], timeout_s=30)
        if time.monotonic() > deadline:
            return lines
        time.sleep(0.1)
    return []


def processes_of(machine: Machine, box: Box) -> list[str]:
    """Return the processes whose command line names the run's prefix, as ``pid args``."""
    done = machine.run(["sh", "-c", LIST_PROCESSES], timeout_s=60)
    mark = f"{box.prefix}/"
    return [line.strip() for line in done.stdout.splitlines() if mark in line]


def _destroy_resources(ctx: Context) -> list[str]:
    plan: dict[str, Any] | None = read_json(ctx.run.file("plan.json"))
    if plan is None or not ctx.run.terraform.is_dir():
        return []
    terraform = Terraform(
        Path(plan["terraform"]), ctx.run.terraform, log=ctx.run.log("destroy"), on_progress=ctx.view.progress
    )
    try:
        terraform.destroy()
        return terraform.resources()
    except TerraformError as err:
        raise TeardownError(
            f"destroy: {err.message}",
            details=err.details,
            resolution=f"run `make down RUN={ctx.run.run_id}` again",
        ) from err
