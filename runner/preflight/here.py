"""What the run needs of this machine: environment, Terraform, Ansible, disk; and the age of the prices."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from runner.adapters.machine import LocalMachine
from runner.adapters.terraform_install import PINNED_VERSION, find_terraform
from runner.config import RunFile, parse_address
from runner.environments import find_environment
from runner.errors import DiskSpaceError, RunnerError, UsageError
from runner.estimate.disk import CACHED_ENVIRONMENT_GIB, CONVERTED_TIMES, GIB, check_free_disk, disk_needed_gib
from runner.estimate.model_shape import ModelShape
from runner.preflight.check import Check, counted, failed, from_error, passed, skipped, warned
from trainer.files import cache_folder

ENVIRONMENT, TERRAFORM, ANSIBLE, HERE, THERE, PRICES = (
    "environment",
    "terraform",
    "ansible",
    "disk here",
    "disk there",
    "prices",
)
BYTES_PER_WEIGHT = 2
"""The Hub's models are stored in 16 bits, mostly; source: ``torch_dtype`` of their configurations."""
SHOWN = 3


def check_environment(run_file: RunFile) -> Check:
    """Tell whether there is such an environment, and whether its host can be one."""
    compute = run_file.compute
    try:
        environment = find_environment(compute.env)
        if environment.name == "existing":
            parse_address(compute.host or "")
    except UsageError as err:
        return from_error(ENVIRONMENT, err)
    return passed(ENVIRONMENT, f"{environment.name} {compute.host or ''}".strip())


def check_terraform() -> list[Check]:
    """Find a Terraform that Douse is made for. Where there is none at all, the download is left to the plan.

    Returns:
        The line ``TERRAFORM``.
    """
    if not terraform_is_near():
        value = f"none on this machine; release {PINNED_VERSION} is downloaded before the run"
        return [warned(TERRAFORM, value, "connect to the network, or set DOUSE_TERRAFORM_MIRROR to a copy")]
    try:
        return [passed(TERRAFORM, str(find_terraform()))]
    except RunnerError as err:
        return [from_error(TERRAFORM, err)]


def terraform_is_near() -> bool:
    """Tell whether some Terraform is on this machine; whether it is one that will do, is not asked."""
    cached = cache_folder() / "terraform" / PINNED_VERSION / "terraform"
    return bool(os.environ.get("TERRAFORM") or shutil.which("terraform")) or os.access(cached, os.X_OK)


def check_ansible(run_file: RunFile) -> Check:
    """Look for Ansible's packages and programs, and for ``ssh`` where the machine is another one."""
    remedy = "run `make setup` again: it installs what requirements/control.lock names"
    missing = [name for name in ("ansible", "ansible_runner") if importlib.util.find_spec(name) is None]
    search = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    if shutil.which("ansible-playbook", path=search) is None:
        missing.append("ansible-playbook")
    if missing:
        return failed(ANSIBLE, f"{' and '.join(missing)} cannot be found", remedy)
    if run_file.compute.env != "local" and shutil.which("ssh", path=search) is None:
        return failed(ANSIBLE, "there is no ssh, by which Ansible gets to the machine", "install OpenSSH's client")
    return passed(ANSIBLE, f"ansible-core {metadata.version('ansible-core')}")


def check_disks(
    run_file: RunFile,
    runs_dir: Path,
    *,
    files: Path | None = None,
    shape: ModelShape | None = None,
    needed_gib: float | None = None,
) -> list[Check]:
    """Compare the free disk with what the run needs, here and on its machine.

    Args:
        run_file: The run.
        runs_dir: Folder of the runs.
        files: The base model's file or folder on this machine, if it is there.
        shape: The base model's shape, which tells the size of a model that is not here.
        needed_gib: What the machine should have free, in GiB, where that is known already.

    Returns:
        The lines ``HERE`` and ``THERE``.
    """
    is_gguf = files is not None and files.suffix == ".gguf"
    model_bytes = _size_bytes(files) or (0 if shape is None else shape.parameters * BYTES_PER_WEIGHT)
    environment_cached = run_file.compute.env == "local" and (cache_folder() / "uv").is_dir()
    there_gib = needed_gib or disk_needed_gib(
        run_file, model_bytes=model_bytes, is_gguf=is_gguf, environment_cached=environment_cached
    )
    here_gib = there_gib if run_file.compute.env == "local" else _brought_home_gib(run_file, model_bytes, is_gguf)
    free_bytes = LocalMachine().free_bytes(str(runs_dir))
    try:
        check_free_disk(free_bytes, here_gib, runs_dir)
        here = passed(HERE, f"{free_bytes / GIB:.1f} GiB free, {here_gib:.1f} needed")
    except DiskSpaceError as err:
        here = from_error(HERE, err)
    return [here, _there(run_file, there_gib)]


def _there(run_file: RunFile, needed_gib: float) -> Check:
    compute = run_file.compute
    if compute.env == "local":
        return skipped(THERE, "the machine is this one")
    if compute.env == "existing":
        return skipped(THERE, f"{needed_gib:.1f} GiB needed; looked at there before anything is installed")
    value = f"{compute.disk_size_gib} GiB asked for, {needed_gib:.1f} needed"
    if needed_gib > compute.disk_size_gib:
        return warned(THERE, value, f"set compute.disk_size_gib to {needed_gib:.0f}: so much is rented in any case")
    return passed(THERE, value)


def _brought_home_gib(run_file: RunFile, model_bytes: int, is_gguf: bool) -> float:
    """Return what comes home: of all that the machine needs, the part that is neither packages nor base model."""
    whole_gib = disk_needed_gib(run_file, model_bytes=model_bytes, is_gguf=is_gguf, environment_cached=True)
    model_gib = model_bytes / GIB * (1 + CONVERTED_TIMES if is_gguf else 1)
    return max(0.0, whole_gib - CACHED_ENVIRONMENT_GIB - model_gib)


def _size_bytes(files: Path | None) -> int:
    """Return the size of the weights and all beside them; 0 where there are only the small files of a model."""
    if files is None:
        return 0
    found = [files] if files.is_file() else [path for path in files.rglob("*") if path.is_file()]
    has_weights = any(path.suffix in (".gguf", ".safetensors", ".bin") for path in found)
    return sum(path.stat().st_size for path in found) if has_weights else 0


def check_prices(stale: Sequence[str] | None) -> Check:
    """Tell which prices are too old to plan with.

    Args:
        stale: The rows that are older than the price list allows, in words; ``None`` where no list was used.
    """
    if stale is None:
        return skipped(PRICES, "this run uses no price list")
    if not stale:
        return passed(PRICES, "none is out of date")
    more = f" and {len(stale) - SHOWN} more" if len(stale) > SHOWN else ""
    words = f"{counted(len(stale), 'row is', 'rows are')} out of date: {', '.join(stale[:SHOWN])}{more}"
    return warned(PRICES, words, "refresh the list: `make prices`")
