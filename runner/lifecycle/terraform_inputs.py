"""What a run's environment is given: Terraform's inputs, the secrets beside them, and Terraform itself."""

from __future__ import annotations

import getpass
import math
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from runner.adapters.keys import public_key
from runner.adapters.process import Cancel
from runner.adapters.terraform import VARIABLES_FILE, Terraform
from runner.clouds.environments import find_environment
from runner.context import Context
from runner.errors import UsageError
from runner.planning.estimate.disk import rented_disk_gib
from runner.provider.mirror import cli_config, environment, write_mirror
from runner.run.models import Plan
from runner.run.run_dir import read_json
from runner.run.run_file import parse_address
from runner.run.spend import spend_of
from trainer.files import cache_folder

SPARE_HOURS = 1.0
"""A rented machine outlives the longest training by this much: for set-up before, and the way home after."""
OWN_IMAGES = {"runpod": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404"}
USER_DATA_VARIABLES = {"lambda": "lambda_user_data"}
"""Environments whose user data is an ephemeral variable: it goes in by Terraform's environment, never into a file."""


def hard_end(ctx: Context) -> datetime:
    """Return when a machine that is rented now has to be over, whatever happens."""
    return datetime.now(UTC) + timedelta(hours=ctx.run_file.budget.max_hours + SPARE_HOURS)


def seconds_to_hard_end(ctx: Context) -> float:
    """Return how long the run's machine may go on from now: to the end it was rented with, or to that of the money."""
    ends = datetime.fromisoformat(read_json(ctx.run.terraform / VARIABLES_FILE)["expires_at"])
    left_s = (ends - datetime.now(UTC)).total_seconds()
    spend, max_usd = spend_of(ctx.run), ctx.run_file.budget.max_usd
    if max_usd is None or spend.price_usd_per_h == 0.0:
        return left_s
    return min(left_s, (max_usd - spend.total_usd) / spend.price_usd_per_h * 3600)


def terraform_of(ctx: Context, step: str, *, cancel: Cancel | None = None) -> Terraform:
    """Return Terraform on the run's working copy, told of our provider where the environment needs it."""
    plan: dict[str, Any] = read_json(ctx.run.file("plan.json"))
    rented = find_environment(plan["environment"]).rented
    return Terraform(
        Path(plan["terraform"]),
        ctx.run.terraform,
        log=ctx.run.log(step),
        on_progress=ctx.view.progress,
        cancel=cancel,
        cli_config=_cli_config() if rented else None,
        env=environment() | _secrets(ctx) if rented else {},
    )


def variables(ctx: Context, plan: Plan) -> dict[str, Any]:
    """Return the inputs of the host contract, then the environment's own."""
    shared: dict[str, Any] = {
        "run_id": ctx.run.run_id,
        "candidates": plan.candidates,
        "disk_size_gib": max(1, math.ceil(plan.disk_needed_gib)),
        "ssh_public_key": None,
        "ssh_ingress_cidrs": [],
        "expires_at": f"{hard_end(ctx):%Y-%m-%dT%H:%M:%SZ}",
        "labels": {},
    }
    if not find_environment(plan.environment).rented:
        return shared | _given_machine(ctx)
    shared |= {
        "disk_size_gib": rented_disk_gib(ctx.run_file, plan.disk_needed_gib),
        "ssh_public_key": public_key(ctx.run.login_key),
    }
    if plan.environment == "aws":
        shared["ssh_ingress_cidrs"] = plan.ssh_ingress_cidrs
    return shared | _rented_machine(ctx, plan)


def _given_machine(ctx: Context) -> dict[str, Any]:
    """Return what ENV=local and ENV=existing take."""
    compute = ctx.run_file.compute
    if compute.host is None:
        return {"local_user": getpass.getuser()}
    user, address, port = parse_address(compute.host)
    return {"local_user": user, "local_address": address, "local_port": port}


def _rented_machine(ctx: Context, plan: Plan) -> dict[str, Any]:
    """Return what each cloud takes besides the contract."""
    image = ctx.run_file.compute.image
    timeouts = {
        "create_timeout_s": round(ctx.run_file.compute.boot_timeout_minutes * 60),
        "delete_timeout_s": round(ctx.run_file.compute.teardown_timeout_minutes * 60),
    }
    if plan.environment == "lambda":
        return timeouts | {"lambda_host_key": public_key(ctx.run.host_key)}
    if plan.environment == "runpod":
        return timeouts | {
            "runpod_image": image or OWN_IMAGES["runpod"],
            "runpod_community_enabled": ctx.run_file.compute.trust == "any",
        }
    own: dict[str, Any] = {
        "aws_host_key": public_key(ctx.run.host_key),
        "aws_user_data": user_data(ctx),
        "aws_price_usd_per_h": plan.prices_usd_per_h[0],
    }
    return own | ({"aws_ami_parameter": image} if image else {})


def user_data(ctx: Context) -> str:
    """Return the cloud-config a machine boots with: its host key, and a last end that needs nobody."""
    config: dict[str, Any] = {
        "ssh_deletekeys": True,
        "ssh_keys": {
            "ed25519_private": ctx.run.host_key.read_text(encoding="ascii"),
            "ed25519_public": public_key(ctx.run.host_key),
        },
    }
    if ctx.environment.lease == "shutdown":
        seconds = math.ceil((ctx.run_file.budget.max_hours + SPARE_HOURS) * 3600)
        config["runcmd"] = [
            ["systemd-run", "--unit=douse-hard-end", f"--on-active={seconds}", "systemctl", "poweroff"],
        ]
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)


def _secrets(ctx: Context) -> dict[str, str]:
    name = USER_DATA_VARIABLES.get(ctx.run_file.compute.env)
    return {} if name is None else {f"TF_VAR_{name}": user_data(ctx)}


def _cli_config() -> str:
    """Return Terraform's settings: our provider from the cache, the others from a mirror or the registry."""
    given = os.environ.get("DOUSE_PROVIDER_MIRROR") or None
    if given is not None and not Path(given).is_dir():
        raise UsageError(
            f"plan: DOUSE_PROVIDER_MIRROR is {given}, and there is no such folder",
            resolution="name the folder that holds registry.terraform.io, or unset it to use the registry",
        )
    mirror = write_mirror(cache_folder() / "terraform" / "providers")
    return cli_config(mirror, None if given is None else Path(given))
