"""What the run needs of this machine: environment, Terraform, Ansible, disk."""

from __future__ import annotations

import importlib.util
import math
import sys
from importlib import metadata
from pathlib import Path

from runner.adapters import process
from runner.adapters.machine import LocalMachine
from runner.adapters.terraform_install import PINNED_VERSION, find_terraform, is_near
from runner.clouds.environments import find_environment
from runner.clouds.registry import CLOUDS
from runner.errors import DiskSpaceError, RunnerError, ToolError, UsageError
from runner.planning.checks.line import Check, failed, from_error, passed, skipped, warned
from runner.planning.estimate.disk import GIB, DiskNeed, check_free_disk
from runner.run.run_file import RunFile, check_host
from runner.world import World

ENVIRONMENT, TERRAFORM, ANSIBLE, HERE, THERE = "environment", "terraform", "ansible", "disk here", "disk there"
GUARD = "guard"
NEVER_KILLED = "root"
"""logind leaves this user's processes alone (``KillExcludeUsers``)."""
LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "KillUserProcesses")
ASK_LOGIND_S = 5.0


def check_environment(run_file: RunFile) -> Check:
    """Return whether there is such an environment, and whether its host can be one."""
    compute = run_file.compute
    try:
        environment = find_environment(compute.env)
        if environment.name == "existing":
            check_host(compute.host or "")
    except UsageError as err:
        return from_error(ENVIRONMENT, err)
    words = f"{environment.name} {compute.host or ''}".strip()
    unused = [f"compute.{name}" for name in compute.own_sections() if name != environment.name]
    return passed(ENVIRONMENT, f"{words}; {', '.join(unused)} is not used there" if unused else words)


def check_terraform(world: World) -> list[Check]:
    """Find a Terraform or OpenTofu that Douse is made for; where there is none, the download is left to the plan.

    Returns:
        The line ``TERRAFORM``.
    """
    if not is_near(world):
        value = f"none on this machine; release {PINNED_VERSION} is downloaded before the run"
        return [warned(TERRAFORM, value, "connect to the network, or set DOUSE_TERRAFORM_MIRROR to a copy")]
    try:
        return [passed(TERRAFORM, str(find_terraform(world)))]
    except RunnerError as err:
        return [from_error(TERRAFORM, err)]


def check_ansible(run_file: RunFile, world: World) -> Check:
    """Look for Ansible's packages and programs, and for ``ssh`` where the machine is another one."""
    remedy = "run `make setup` again: it installs what requirements/control.lock names"
    missing = [name for name in ("ansible", "ansible_runner") if importlib.util.find_spec(name) is None]
    ours = (Path(sys.executable).parent,)
    if world.find_program("ansible-playbook", first=ours) is None:
        missing.append("ansible-playbook")
    if missing:
        return failed(ANSIBLE, f"{' and '.join(missing)} cannot be found", remedy)
    if run_file.compute.env != "local" and world.find_program("ssh", first=ours) is None:
        return failed(ANSIBLE, "there is no ssh, by which Ansible gets to the machine", "install OpenSSH's client")
    return passed(ANSIBLE, f"ansible-core {metadata.version('ansible-core')}")


def check_guard(run_file: RunFile, world: World) -> list[Check]:
    """Say where nobody on this machine would terminate a rented one: the guard is off, or would end with the session.

    Returns:
        The line ``GUARD``, or none.
    """
    if run_file.compute.env not in CLOUDS:
        return []
    if not run_file.budget.guard:
        value = "off: a killed runner leaves its machine to the cloud and to sweeps"
        return [warned(GUARD, value, "set budget.guard: true")]
    if _is_killed_at_log_out(world):
        value = "logging out kills it: logind ends all processes of a session (KillUserProcesses)"
        return [warned(GUARD, value, "stay logged in, or set KillUserProcesses=no in /etc/systemd/logind.conf")]
    return []


def _is_killed_at_log_out(world: World) -> bool:
    """Ask logind, where there is one; what it does not say is taken for no."""
    busctl = world.find_program("busctl")
    if busctl is None or world.user == NEVER_KILLED:
        return False
    try:
        said = process.run([str(busctl), "get-property", *LOGIND], timeout_s=ASK_LOGIND_S)
    except ToolError:
        return False
    return said.stdout.strip() == "b true"


def check_disks(run_file: RunFile, runs_dir: Path, need: DiskNeed) -> list[Check]:
    """Compare the free disk with what the run needs, here and on its machine.

    Args:
        run_file: The run.
        runs_dir: Folder of the runs.
        need: What the run needs.

    Returns:
        The lines ``HERE`` and ``THERE``.
    """
    free_bytes = LocalMachine().free_bytes(str(runs_dir))
    try:
        check_free_disk(free_bytes, need.here_gib, runs_dir)
        here = passed(HERE, f"{free_bytes / GIB:.1f} GiB free, {need.here_gib:.1f} needed")
    except DiskSpaceError as err:
        here = from_error(HERE, err)
    return [here, _there(run_file, need.there_gib)]


def _there(run_file: RunFile, needed_gib: float) -> Check:
    compute = run_file.compute
    if compute.env == "local":
        return skipped(THERE, "the machine is this one")
    if compute.env == "existing":
        return skipped(THERE, f"{needed_gib:.1f} GiB needed; checked there before anything is installed")
    value = f"{compute.disk_size_gib} GiB asked for, {needed_gib:.1f} needed"
    if needed_gib > compute.disk_size_gib:
        return warned(
            THERE, value, f"set compute.disk_size_gib to {math.ceil(needed_gib)}: so much is rented in any case"
        )
    return passed(THERE, value)
