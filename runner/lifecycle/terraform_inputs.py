"""What a run's environment is given: Terraform's inputs, the secrets beside them, and Terraform itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from runner.adapters.keys import public_key
from runner.adapters.process import Cancel, OnLine
from runner.adapters.ssh_config import find_way
from runner.adapters.terraform import VARIABLES_FILE, Terraform
from runner.adapters.terraform_install import release_of
from runner.adapters.tools import tools_of
from runner.cloud_api.environment import MachineOrder, NotThere
from runner.clouds.environments import find_environment
from runner.clouds.registry import find_cloud
from runner.context import Context
from runner.errors import RunnerError
from runner.planning.ends import BLIND_TRAINING_H, SPARE_HOURS
from runner.planning.estimate.disk import rented_disk_gib
from runner.provider.mirror import check_mirror, cli_config, environment, given_mirror, write_mirror
from runner.run.models import Host
from runner.run.planned import SECURE, MachineIdentity, PlannedMachine, identity_of
from runner.run.run_dir import read_json
from runner.run.spend import dollars_left, spend_of
from runner.world import World
from trainer.files import cache_folder

TIME = "%Y-%m-%dT%H:%M:%SZ"


def hours_to_end(ctx: Context, machine: PlannedMachine) -> float:
    """Return how long a machine may go on from the request for it: to its own end, or, in an old plan, the run's."""
    if machine.hard_end_h is not None:
        return machine.hard_end_h
    return unplanned_hours(ctx)


def unplanned_hours(ctx: Context) -> float:
    """Return how long a machine without a planned end may go on from the request for it."""
    return (ctx.run_file.budget.max_hours or BLIND_TRAINING_H) + SPARE_HOURS


def hard_end(ctx: Context, machine: PlannedMachine) -> datetime:
    """Return when a machine that is rented now has to be over, whatever happens."""
    return ctx.world.now() + timedelta(hours=hours_to_end(ctx, machine))


def rented_until(ctx: Context) -> datetime | None:
    """Return when the run's machine has to be over: the end that it was rented with.

    Of several candidates that it may be, the earliest end counts: whoever saves too early loses nothing. It is by this
    computer's clock as it is now, which may have been set since. ``None`` where the inputs that it was rented with
    cannot be read any more, and where nobody knows how far that clock was set back.
    """
    try:
        values, host = read_json(ctx.run.terraform / VARIABLES_FILE) or {}, ctx.host()
        rented = [one for one in values.get("candidates", ()) if host is not None and _may_be(one, host)]
        ends = [one["expires_at"] for one in rented if one.get("expires_at")] or [values["expires_at"]]
        last = [one for one in spend_of(ctx.run).machines[-1:] if one.gone_at is None]  # else the next one's inputs
        if any(one.is_set_back for one in last):
            return None
        moved_by = sum((one.moved_by for one in last), timedelta())
        return min(datetime.fromisoformat(end) for end in ends) + moved_by
    except (RunnerError, OSError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None


def hours_gone(ctx: Context) -> float:
    """Return the hours since the run's machine was asked for; those of its earlier machines do not count."""
    spend = spend_of(ctx.run)
    return spend.billed_s / 3600 - spend.earlier_h


def hard_end_of_machine(ctx: Context) -> datetime:
    """Return the end that the run's machine was rented with; where that cannot be read, the end of its plan."""
    ends = rented_until(ctx)
    if ends is not None:
        return ends
    left_h = hours_to_end(ctx, ctx.plan.first) - hours_gone(ctx)
    return ctx.world.now() + timedelta(hours=left_h)


def seconds_to_planned_end(ctx: Context) -> float:
    """Return how long until the end that the run's machine was rented with, or that one which is asked for now has."""
    return (hard_end_of_machine(ctx) - ctx.world.now()).total_seconds()


def seconds_to_hard_end(ctx: Context) -> float:
    """Return how long the run's machine may go on from now: to the end it was rented with, or to that of the money."""
    left_s = seconds_to_planned_end(ctx)
    limit_usd_per_h, max_usd = spend_of(ctx.run).limit_usd_per_h, ctx.run_file.budget.max_usd
    if max_usd is None or not limit_usd_per_h:
        return left_s
    return min(left_s, dollars_left(ctx.run, max_usd) / limit_usd_per_h * 3600)


def _may_be(candidate: dict[str, Any], host: Host) -> bool:
    """Return whether a machine that was handed out may be one of Terraform's ``candidates``."""
    trust = candidate.get("trust") or SECURE
    planned = MachineIdentity(candidate["instance_type"], candidate["region"], candidate["spot"], trust)
    return planned.may_be(identity_of(host))


def terraform_of(ctx: Context, step: str, *, cancel: Cancel | None = None, on_start: OnLine | None = None) -> Terraform:
    """Return Terraform on the run's working copy, with our provider where the environment needs it.

    Args:
        ctx: The run.
        step: Whose log it writes to.
        cancel: Asked several times a second whether to stop.
        on_start: Called once, with Terraform's own time, when it begins to change the first resource.
    """
    rented = find_environment(ctx.plan.environment).rents_machine  # a resume may have moved the run since
    return Terraform(
        Path(ctx.plan.terraform),
        ctx.run.terraform,
        ctx.world.environ,
        log=ctx.run.log(step),
        on_progress=ctx.view.progress,
        on_start=on_start,
        cancel=cancel,
        hurry=lambda: ctx.stop.urgent,
        cli_config=_cli_config(ctx.world) if rented else None,
        env=environment(ctx.world.environ) | _secrets(ctx) if rented else {},
        inputs=find_cloud(ctx.plan.environment).open_inputs if rented else (),
        run=tools_of(ctx.world).run,
    )


def variables(ctx: Context, machines: Sequence[PlannedMachine]) -> dict[str, Any]:
    """Return the inputs of the host contract, then the environment's own.

    Args:
        ctx: The run, planned.
        machines: The machines to try, in this order.
    """
    plan = ctx.plan
    shared: dict[str, Any] = {
        "run_id": ctx.run.run_id,
        "candidates": [one.to_variable() for one in machines],
        "disk_size_gib": max(1, math.ceil(plan.disk_needed_gib)),
        "ssh_public_key": None,
        "ssh_ingress_cidrs": [],
        "expires_at": f"{max(hard_end(ctx, one) for one in machines):{TIME}}",
        "labels": {},
    }
    if not ctx.environment.rents_machine:
        return shared | _given_machine(ctx)
    shared |= {
        "candidates": [one.to_variable() | {"expires_at": f"{hard_end(ctx, one):{TIME}}"} for one in machines],
        "disk_size_gib": rented_disk_gib(ctx.run_file, plan.disk_needed_gib),
        "ssh_public_key": public_key(ctx.run.login_key),
        "ssh_ingress_cidrs": list(plan.ssh_ingress_cidrs),
    }
    return shared | find_cloud(ctx.environment.name).inputs(_order(ctx, machines[0]))


def _given_machine(ctx: Context) -> dict[str, Any]:
    """Return the inputs of ENV=local and ENV=existing."""
    compute = ctx.run_file.compute
    if compute.host is None:
        return {"local_user": ctx.world.user}
    hop = find_way(ctx.world, compute.host, compute.identity_file)[-1]
    return {"local_user": hop.user, "local_address": hop.address, "local_port": hop.port}


def _order(ctx: Context, machine: PlannedMachine) -> MachineOrder:
    """Return the inputs of a rented machine beyond the contract."""
    compute = ctx.run_file.compute
    return MachineOrder(
        host_key=ctx.run.host_key,
        image=compute.image,
        trust=compute.trust,
        price_usd_per_h=machine.price_usd_per_h,
        create_timeout_s=round(compute.boot_timeout_minutes * 60),
        delete_timeout_s=round(compute.teardown_timeout_minutes * 60),
        hard_end_s=math.ceil(hours_to_end(ctx, machine) * 3600),
        own=compute.own_sections().get(ctx.environment.name),
    )


def _secrets(ctx: Context) -> dict[str, str]:
    """Return the inputs that go in by Terraform's environment, never into a file."""
    secret_inputs = find_cloud(ctx.run_file.compute.env).secret_inputs
    if isinstance(secret_inputs, NotThere):
        return {}
    made = secret_inputs(_order(ctx, ctx.plan.first))
    return {f"TF_VAR_{name}": value for name, value in made.items()}


def check_providers(ctx: Context) -> None:
    """Compare the mirror of providers, if there is one, with what the run's module and program need of it.

    Raises:
        UsageError: If there is no such folder, or it was made for the other of Terraform and OpenTofu.
    """
    mirror = given_mirror("plan", ctx.world.environ)
    if mirror is not None and find_environment(ctx.plan.environment).rents_machine:
        release = release_of(Path(ctx.plan.terraform), ctx.world.environ)
        check_mirror(mirror, "Terraform" if release is None else release.product, ctx.run.terraform)


def _cli_config(world: World) -> str:
    """Return Terraform's settings: our provider from the cache, the others from a mirror or the registry."""
    mirror = write_mirror(world, cache_folder(world.environ) / "terraform" / "providers")
    return cli_config(mirror, given_mirror("plan", world.environ))
