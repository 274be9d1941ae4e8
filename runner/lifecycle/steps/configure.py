"""Configure: Ansible makes the machine ready to train, inside the run's own prefix."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from runner.adapters.interpreter import find_python
from runner.adapters.machine import Machine
from runner.adapters.packages import build_wheel
from runner.adapters.tools import tools_of
from runner.context import Context
from runner.errors import HostWordsError
from runner.lifecycle.play import play
from runner.lifecycle.terraform_inputs import seconds_to_hard_end
from runner.planning.cuda_builds import LOCKS, cuda_builds
from runner.run.host_words import plain_data
from runner.run.models import Box, Host
from runner.run.run_dir import PROJECT, write_json
from runner.store.credentials import is_given_remote
from trainer.files import cache_folder, parse_object

VERIFIED_MODULES = ("torch", "bitsandbytes", "transformers", "trl", "peft", "accelerate", "datasets")
ANSIBLE_PYTHON = "3.8"
RENTED_PACKAGES = ("python3-venv", "python3-pip")
COMPILER_PACKAGES = ("gcc", "libc6-dev")
"""What Triton compiles with, besides Python's headers."""
TENSORBOARD_PORT = 6006
LARGEST_FACTS_BYTES = 1 << 20


def configure(ctx: Context, host: Host) -> dict[str, Any]:
    """Prepare and verify the machine; a second time changes nothing. Returns the machine's facts.

    Raises:
        PlaybookFailedError: If a task failed.
        ToolError: If the trainer's wheel cannot be built.
        HostWordsError: If the machine gives a path or facts that nothing may be made of.
    """
    machine = ctx.machine(host)
    try:
        box = ctx.box(host, machine)
        rented = ctx.environment.rents_machine
        inventory = make_inventory(ctx, host, box, find_python(machine, any_will_do=rented))
        variables = role_variables(ctx, host, box, machine)
    finally:
        machine.close()
    write_json(ctx.run.file("inventory/hosts.json"), inventory)
    play(ctx, "prepare.yml", inventory, variables)
    play(ctx, "verify.yml", inventory, variables)
    return _facts(ctx)


def _facts(ctx: Context) -> dict[str, Any]:
    """Return the facts that Ansible brought home, written anew without what steers a terminal."""
    entry = ctx.run.file("host_facts.json")
    if not entry.is_file():
        return {}
    try:
        if entry.size_bytes() > LARGEST_FACTS_BYTES:
            raise ValueError(f"{entry.size_bytes()} bytes")
        facts: dict[str, Any] = plain_data(parse_object(entry.read_bytes()))
    except (HostWordsError, ValueError) as err:
        entry.unlink()
        raise HostWordsError(
            "configure: the machine's facts cannot be read",
            details=str(err),
            resolution="see Ansible's own output with `make logs`, then use another machine",
        ) from err
    write_json(entry, facts)
    return facts


def make_inventory(ctx: Context, host: Host, box: Box, python: str) -> dict[str, Any]:
    """Return the run's own inventory: one host and where it is; ``inventories/`` says how to reach such a host."""
    values: dict[str, Any] = {
        "ansible_python_interpreter": python,
        "ansible_remote_tmp": f"{box.prefix}/tmp",  # noqa: S108 - in the prefix
    }
    if not host.is_this_machine:
        values |= {
            "ansible_host": host.address,
            "ansible_port": host.port,
            "ansible_user": host.user,
            "known_hosts_path": str(ctx.run.known_hosts),
            "ssh_config_path": str(ctx.ssh_config),
        }
        if ctx.identity_file is not None:
            values["ansible_ssh_private_key_file"] = ctx.identity_file
    return {"all": {"hosts": {"box": values}}}


def role_variables(ctx: Context, host: Host, box: Box, machine: Machine) -> dict[str, Any]:
    """Return the inputs of the roles and of verify.yml."""
    uv = Path(sys.executable).parent / "uv"
    log, run = ctx.run.log("configure"), tools_of(ctx.world).run
    wheel = build_wheel(ctx.run.path / "wheel", log=log, cancel=ctx.stop.wants_out, run=run)
    cache = str(cache_folder(ctx.world.environ)) if host.is_this_machine else f"{machine.home}/.cache/douse"
    return {
        "base_system_disk_gib": ctx.plan.disk_needed_gib,
        "base_system_prefix": box.prefix,
        "python_env_bootstrap": str(PROJECT / "runner" / "bootstrap.py"),
        "python_env_cache": cache,
        "python_env_lock_cpu": str(LOCKS / "trainer-cpu.lock"),
        "python_env_locks_gpu": [build.to_role() for build in cuda_builds()],
        "python_env_lock_uv": str(LOCKS / "uv.lock"),
        "python_env_prefix": box.prefix,
        "python_env_uv": str(uv) if host.is_this_machine and os.access(uv, os.X_OK) else "",
        "trainer_app_prefix": box.prefix,
        "trainer_app_wheel": str(wheel),
        "verify_facts_path": str(ctx.run.file("host_facts.json")),
        "verify_modules": list(VERIFIED_MODULES),
        "verify_prefix": box.prefix,
        **driver_variables(ctx, box),
        **rented_variables(ctx, box),
    }


def driver_variables(ctx: Context, box: Box) -> dict[str, Any]:
    """Return the settings of the role ``nvidia_driver``; a container keeps to its own way, whatever is asked for."""
    environment, run_file = ctx.environment, ctx.run_file
    mode = environment.driver
    if run_file.compute.driver is not None and mode != "container":
        mode = run_file.compute.driver
    if not run_file.compute.gpu_required:
        mode = "none"
    found: dict[str, Any] = {
        "nvidia_driver_locks": [str(LOCKS / build.lock) for build in cuda_builds()],
        "nvidia_driver_mode": mode,
        "nvidia_driver_prefix": box.prefix,
    }
    if run_file.run.device == "cpu" and not environment.rents_machine:
        found["python_env_gpu"] = "absent"
    return found


def rented_variables(ctx: Context, box: Box) -> dict[str, Any]:
    """Return the extra settings of the roles on a rented machine: packages, driver, lease, curves."""
    environment, run_file = ctx.environment, ctx.run_file
    if not environment.rents_machine:
        return {}
    gpu_required = run_file.compute.gpu_required
    lease_ttl_s = run_file.budget.lease_minutes * 60
    return {
        "base_system_install_packages": list(RENTED_PACKAGES),
        "base_system_python_min": ANSIBLE_PYTHON,
        "base_system_useful_packages": list(COMPILER_PACKAGES) if gpu_required else [],
        "lease_enabled": True,
        "lease_hard_end_s": max(lease_ttl_s, seconds_to_hard_end(ctx)),
        "lease_idle_s": run_file.idle_minutes * 60,
        "lease_method": environment.lease,
        "lease_prefix": box.prefix,
        "lease_ttl_s": lease_ttl_s,
        "monitoring_enabled": run_file.monitoring.tensorboard,
        "monitoring_port": TENSORBOARD_PORT,
        "monitoring_prefix": box.prefix,
        "python_env_lock_rclone": str(LOCKS / "rclone.lock") if is_given_remote(run_file) else "",
        "verify_require_gpu": gpu_required,
    }
