"""Destroy: end the trainer, take away what was put on the machine, give the machine back, prove it."""

from __future__ import annotations

import dataclasses
from typing import Any

from runner.adapters.machine import Machine
from runner.cloud_api.models import Resource
from runner.clouds.environments import ENVIRONMENTS
from runner.clouds.registry import Accounts, accounts, open_cloud
from runner.context import Context
from runner.errors import (
    ConnectionLostError,
    HostKeyError,
    NoReceiptError,
    RunnerError,
    TeardownError,
    TerraformError,
    ToolError,
)
from runner.lifecycle.by_mark import end_by_mark, is_account_proved, other_account
from runner.lifecycle.lookout import open_looks, until_over
from runner.lifecycle.lost_lines import note_lost_lines
from runner.lifecycle.terraform_inputs import terraform_of
from runner.lifecycle.vendor_bill import not_yet
from runner.planning.estimate.finished_run import planned_usd
from runner.run.journal import Journal
from runner.run.models import Box, Host
from runner.run.planned import has_plan
from runner.safety.account_sweep import reason_of
from runner.safety.asked import clouds_asked
from runner.safety.patience import patience_of
from runner.safety.receipt import Findings, write_receipt
from runner.safety.terminate import of_run
from runner.world import World

LIST_PROCESSES = (
    "ps -eww -o pid= -o args= 2>/dev/null || "
    'for f in /proc/[0-9]*; do echo "${f#/proc/} $(tr "\\0" " " < "$f/cmdline" 2>/dev/null)"; done'
)
"""One line a process, its number first; containers often have no ``ps``."""
GONE_S = 10.0


def destroy(ctx: Context, *, keep_output: bool) -> dict[str, Any]:
    """Take everything of the run down and return the receipt. Repeatable: what is gone already is fine.

    A rented machine goes by Terraform, then by the cloud's own listing: whatever it still shows of the run is ended as
    well, so that neither a lost state nor a provider in trouble leaves a machine that bills.

    Args:
        ctx: The run.
        keep_output: Leave the trainer's output folder on a given machine, because it is nowhere else.

    Raises:
        TeardownError: If something may still exist.
    """
    note_lost_lines(ctx)
    journal = Journal(ctx.run)
    outcome_unknown = journal.unanswered("provision")
    journal.intent("destroy", run_id=ctx.run.run_id)
    host, bills = ctx.host(), ctx.environment.bills
    findings = _give_back(ctx, outcome_unknown) if bills else _clear(ctx, host, keep_output=keep_output)
    findings = dataclasses.replace(findings, **_look_at_clouds(ctx, _rented_on(ctx)))
    journal.answer("destroy", left=findings.problems())
    return write_receipt(
        ctx.run,
        host,
        findings,
        now=ctx.world.now(),
        rented=bills,
        estimated_usd=planned_usd(ctx.run),
        bills=not_yet(_rented_on(ctx)) if bills else {},
    )


def without_a_disk(ctx: Context, cause: OSError) -> RunnerError:
    """End a rented machine by its cloud's own API alone, writing nothing; return the error to show.

    Args:
        ctx: The run, whose folder cannot be written.
        cause: What the disk said.
    """
    said = f"{ctx.run.path} cannot be written ({cause.strerror or cause})"
    again = f"make room on the disk, then `make down RUN={ctx.run.run_id}`"
    if not ctx.environment.bills:
        return TeardownError(f"destroy: {said}; the trainer and its files may still be there", resolution=again)
    is_proved = is_account_proved(ctx)  # before anything is gone that would prove it
    try:
        seen = end_by_mark(ctx, outcome_unknown=True)
        if not (is_proved or seen.ended or is_account_proved(ctx)):  # it may not have answered before
            raise other_account(ctx)
    except RunnerError as err:
        return TeardownError(f"{err.message}; and {said}", details=err.details, resolution=err.resolution)
    return NoReceiptError(
        f"destroy: {said}; the machine is gone, by {ctx.run_file.compute.env}'s own listing, and there is no receipt",
        resolution=again,
    )


def _give_back(ctx: Context, outcome_unknown: bool) -> Findings:
    """Give a rented machine back; its disk, its processes and its files go with it."""
    is_proved = is_account_proved(ctx)  # before anything is gone that would prove it
    trouble: RunnerError | None = None
    resources: list[str] = []
    looks = open_looks(ctx)
    try:
        with until_over(ctx, looks):
            resources = _destroy_resources(ctx)
    except RunnerError as err:
        trouble = err
    except Exception as err:  # noqa: BLE001 - Terraform is the polite first try: nothing that it does may end this here
        trouble = ToolError(f"destroy: {type(err).__name__}: {err}", resolution="see `make logs`")
    if trouble is not None:
        ctx.view.line(f"{trouble.message}; terminating the machine without Terraform")
    seen = end_by_mark(ctx, outcome_unknown=outcome_unknown or trouble is not None, trouble=trouble, looks=looks)
    if not (is_proved or seen.ended or is_account_proved(ctx)):  # it may not have answered before
        raise other_account(ctx)
    # What Terraform still names while the account has nothing of it is a memory, not a machine.
    return Findings(
        terraform_resources=[] if seen.ended else resources,
        cloud_ended=seen.ended,
        looked_for_s=seen.looked_for_s,
        patience=patience_of(ctx.world.environ).factor,
    )


def _rented_on(ctx: Context) -> set[str]:
    """Return the clouds on which a try of the run has asked for a machine, as far as its journal can be read."""
    names = clouds_asked(ctx.run) or set()
    return {name for name in (*names, ctx.run_file.compute.env) if name in ENVIRONMENTS and ENVIRONMENTS[name].bills}


def _look_at_clouds(ctx: Context, rented_on: set[str]) -> dict[str, Any]:
    """Return the run's resources in the listings of the clouds, and the clouds that could not be read.

    Raises:
        TeardownError: If a cloud on which the run has rented cannot be read.
    """
    shown: dict[str, list[Resource]] = {}
    known = accounts(ctx.world) if rented_on else Accounts([], {}, {})
    clouds = {cloud.name: cloud for cloud in known.opened}
    unread = {name: reason for name, reason in known.unreadable.items() if name not in rented_on}
    for name in sorted(rented_on | set(clouds)):
        try:
            shown[name] = of_run(clouds.get(name) or open_cloud(name, ctx.world), ctx.run.run_id).whole()
        except Exception as err:
            if name not in rented_on:
                unread[name] = reason_of(err)
            elif isinstance(err, RunnerError):
                raise TeardownError(
                    f"destroy: cannot check what is left on {name}: {err.message}",
                    details=err.details,
                    resolution=f"run `make down RUN={ctx.run.run_id}` again",
                ) from err
            else:
                raise
    return {"cloud_resources": shown, "clouds_not_read": unread}


def _clear(ctx: Context, host: Host | None, *, keep_output: bool) -> Findings:
    """Clear a machine that stays: it is this one, or one that was given."""
    kept = ["output"] if keep_output else []
    processes, left = _clear_machine(ctx, host, kept) if host is not None else ([], [])
    return Findings(processes=processes, prefix_left=left, kept=kept, terraform_resources=_destroy_resources(ctx))


def _clear_machine(ctx: Context, host: Host, kept: list[str]) -> tuple[list[str], list[str]]:
    """End the run's processes and remove its files there; return what is left of both."""
    machine = ctx.machine(host)
    try:
        box = ctx.box(host, machine)
        processes = _end_processes(ctx.world, machine, box)
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


def _end_processes(world: World, machine: Machine, box: Box) -> list[str]:
    """End every process that was started from the run's prefix; return those that will not go."""
    deadline = world.monotonic_s() + GONE_S
    while lines := processes_of(machine, box):
        machine.run(["kill", "-9", *(line.split()[0] for line in lines)], timeout_s=30)
        if world.monotonic_s() > deadline:
            return lines
        world.sleep(0.1)
    return []


def processes_of(machine: Machine, box: Box) -> list[str]:
    """Return the processes whose command line names the run's prefix, as ``pid args``."""
    done = machine.run(["sh", "-c", LIST_PROCESSES], timeout_s=60)
    mark = f"{box.prefix}/"
    return [line.strip() for line in done.stdout.splitlines() if mark in line]


def _destroy_resources(ctx: Context) -> list[str]:
    """Destroy what Terraform knows of; return what it still names after that."""
    if not has_plan(ctx.run) or not ctx.run.terraform.is_dir():
        return []
    terraform = terraform_of(ctx, "destroy", cancel=ctx.stop.impatience())
    try:
        terraform.destroy()
        return terraform.resources()
    except TerraformError as err:
        raise TeardownError(
            f"destroy: {err.message}",
            details=err.details,
            resolution=f"run `make down RUN={ctx.run.run_id}` again",
        ) from err
