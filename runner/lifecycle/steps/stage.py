"""Stage: recipe, data, base model and, for a resume, the checkpoints go onto the machine, and where its store is."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from runner.adapters.machine import Machine
from runner.adapters.process import Cancel
from runner.context import Context
from runner.lifecycle.time_limit import hours_to_stage
from runner.planning.estimate.micro_batch import is_chosen_here, row_settings, settled_by_plan
from runner.run.models import Box, Host
from runner.run.run_dir import write_json
from runner.store import arming
from trainer.base_model.origin import PACKAGES_ON_HUB
from trainer.checkpoints.complete import MANIFEST_NAME, list_newest_first
from trainer.config.recipe import to_mapping
from trainer.config.sections import DataSection
from trainer.data.sources.paths import shown_paths
from trainer.files import sha256_of_file


def stage(ctx: Context, host: Host, *, resume: bool) -> bool:
    """Bring everything the trainer reads onto the machine.

    Args:
        ctx: The run.
        host: The machine.
        resume: Whether training is to go on from a checkpoint, if there is one.

    Returns:
        Whether there is a checkpoint on the machine to go on from.

    Raises:
        TransferError: If the disk there is full.
        DataError: If the data files have changed since the plan, and can no longer be used.
        CloudError: If there are no credentials for the store.
        ConnectionLostError: If the machine cannot be reached.
        ToolCancelledError: If the run has to stop, or its time is over.
    """
    from runner.planning.checks.data_files import fetch_data  # the trainer's side takes its time to import
    from trainer.data.staged import write_staged

    machine = ctx.machine(host)
    deadline_s = ctx.world.monotonic_s() + hours_to_stage(ctx) * 3600

    def is_over() -> bool:
        return ctx.stop.wants_out() or ctx.world.monotonic_s() > deadline_s

    try:
        box = ctx.box(host, machine)
        arming.arm(ctx, host, machine)
        with ctx.world.scratch("douse-stage-") as folder:
            ctx.view.progress("reading the samples")
            found = fetch_data(ctx.run_file.data, ctx.world, lambda *_: ctx.stop.check())
            data = write_staged(found.here, ctx.run_file.run.seed, folder)
            recipe, files = box_recipe(ctx, box, host, data)
            for source, target in files.items():
                ctx.stop.check()
                ctx.view.progress(f"staging {Path(source).name}")
                machine.put(Path(source), target, cancel=is_over)
            path = folder / "recipe.json"
            write_json(path, recipe)
            machine.put(path, box.recipe, cancel=is_over)
            write_json(ctx.run.file("data_manifest.json"), _manifest(files, box, _origins(ctx.run_file.data, data)))
        return _stage_past(ctx, machine, box, is_over, resume=resume)
    finally:
        machine.close()


def box_recipe(ctx: Context, box: Box, host: Host, data: DataSection) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the recipe with the machine's paths and the rows it computes at once, and which local file goes where.

    Args:
        ctx: The run.
        box: The places on the machine.
        host: The machine.
        data: The samples as they are staged.
    """
    run_file = settled_by_plan(ctx.run_file, ctx.plan.data)
    recipe = to_mapping(run_file.recipe().model_copy(update={"data": data}))
    if is_chosen_here(run_file):
        recipe["training"] |= row_settings(run_file, _planned_rows(ctx, host))
    files: dict[str, str] = {}

    def place(section: str, key: str, name: str) -> None:
        source = recipe[section][key]
        if source is not None:
            files[source] = recipe[section][key] = str(PurePosixPath(box.input, name))

    place("data", "train_path", "train.jsonl")
    place("data", "eval_path", "eval.jsonl")
    place("data", "chat_template_path", "chat_template.jinja")
    model_files = ctx.plan.model_files
    if model_files is not None:
        package = ctx.run_file.model.base_model.removeprefix("pypi:")
        recipe["model"] |= {"base_model": model_files, "revision": None}
        recipe["model"]["hub_id"] = recipe["model"]["hub_id"] or PACKAGES_ON_HUB.get(package)
        place("model", "base_model", f"model/{Path(model_files).name}")
    return recipe, files


def _planned_rows(ctx: Context, host: Host) -> int:
    """Return how many rows the plan computes at once on the machine; one, which always fits, where it knows none."""
    batches = [one.micro_batch for one in ctx.plan.machines_of(host) if one.micro_batch is not None]
    return batches[0].rows if batches else 1


def _origins(own: DataSection, staged: DataSection) -> dict[str, str]:
    """Return where the samples of each staged file come from."""
    train, held_out = shown_paths(own.train_path), shown_paths(own.eval_path or own.train_path)
    return {shown_paths(staged.train_path): train, shown_paths(staged.eval_path or ""): held_out}


def _manifest(files: dict[str, str], box: Box, origins: dict[str, str]) -> dict[str, Any]:
    """Return name, origin, size and SHA-256 of each staged file."""
    entries = []
    for source, target in files.items():
        root = Path(source)
        for path in [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file()):
            inner = PurePosixPath(target) / path.relative_to(root) if path != root else PurePosixPath(target)
            entries.append(
                {
                    "name": str(inner.relative_to(box.input)),
                    "source": origins.get(source, str(path)),
                    "size_bytes": path.stat().st_size,
                    "sha256": sha256_of_file(path),
                }
            )
    return {"format": 1, "files": entries}


def _stage_past(ctx: Context, machine: Machine, box: Box, is_over: Cancel, *, resume: bool) -> bool:
    """Bring what an earlier try has made: its checkpoints, and its events so that the story goes on."""
    if not resume:
        return False
    for path in list_newest_first(ctx.run.checkpoints):
        target = f"{box.checkpoints}/{path.name}"
        if (path / MANIFEST_NAME).exists() and not machine.exists(f"{target}/{MANIFEST_NAME}"):
            ctx.view.progress(f"staging {path.name}")
            _put_checkpoint(machine, path, target, is_over)
    has_checkpoint = any(
        machine.exists(f"{box.checkpoints}/{name}/{MANIFEST_NAME}") for name in machine.names(box.checkpoints)
    )
    if not has_checkpoint:
        machine.remove_tree(box.output)
        _set_aside(ctx)
    elif not machine.exists(box.events) and ctx.run.events.exists():
        machine.put(ctx.run.events.path, box.events, cancel=is_over)
    return has_checkpoint


def _put_checkpoint(machine: Machine, path: Path, target: str, is_over: Cancel) -> None:
    """Bring a checkpoint there, its manifest last: it is complete or it does not exist."""
    for entry in sorted(path.iterdir()):
        if entry.name != MANIFEST_NAME:
            machine.put(entry, f"{target}/{entry.name}", cancel=is_over)
    machine.put(path / MANIFEST_NAME, f"{target}/{MANIFEST_NAME}", cancel=is_over)


def _set_aside(ctx: Context) -> None:
    """Keep the events of a try that left no checkpoint; the new one begins a new file."""
    if ctx.run.events.exists():
        logs = ctx.run.logs
        number = sum(entry.name.startswith("events-") for entry in logs.entries()) + 1
        ctx.run.events.rename(logs / f"events-{number}.jsonl")
