"""Collect: what was made comes home, with checksums, before anything is taken down."""

from __future__ import annotations

from pathlib import Path

from runner.adapters.machine import Machine
from runner.context import Context
from runner.errors import TransferError
from runner.lifecycle.event_copy import EventCopy
from runner.run.models import Box, Host
from runner.world import Disk
from trainer.checkpoints.complete import MANIFEST_NAME, verify
from trainer.errors import CheckpointError
from trainer.export.checksums import checksum_problems
from trainer.files import read_json

PLAIN = {"metrics.json": "metrics.json", "trainer.log": "logs/trainer.log", "tensorboard": "tensorboard"}
"""What comes home as it is: name in the output folder, name in the run folder."""


def collect(ctx: Context, host: Host, *, with_checkpoints: bool) -> list[str]:
    """Bring the results home.

    Args:
        ctx: The run.
        host: The machine.
        with_checkpoints: Whether to bring the newest and the best checkpoint, because training is not over.

    Returns:
        Names of what came, relative to the run folder.

    Raises:
        TransferError: If what came does not have the checksums of what was sent.
        ConnectionLostError: If the machine cannot be reached.
    """
    machine = ctx.machine(host)
    try:
        box = ctx.box(host, machine)
        _finish_events(ctx, machine, box)
        came = [name for name in PLAIN if _bring(ctx, machine, box, name, PLAIN[name])]
        damaged: TransferError | None = None
        for name in _finished(machine, box):
            ctx.view.progress(f"collecting {name}")
            try:
                _bring_checked(machine, f"{box.output}/{name}", ctx.run.path / name, ctx.world.disk)
                came.append(name)
            except TransferError as err:
                damaged = damaged or err  # the machine may go after this: what can still come home comes first
        if with_checkpoints:
            came += _bring_checkpoints(ctx, machine, box)
    finally:
        machine.close()
    if damaged is not None:
        raise damaged
    return came


def _finish_events(ctx: Context, machine: Machine, box: Box) -> None:
    copy = EventCopy(ctx, machine)
    while not ctx.stop.urgent and copy.look(box) is not None:
        pass
    copy.say_skipped()


def _bring(ctx: Context, machine: Machine, box: Box, name: str, target: str) -> bool:
    source = f"{box.output}/{name}"
    if not machine.exists(source):
        return False
    machine.get(source, ctx.run.path / target)
    return True


def _finished(machine: Machine, box: Box) -> list[str]:
    """Return the results of training. An adapter without a verdict stays behind: its checkpoint comes home."""
    if "acceptance.json" not in machine.names(f"{box.output}/adapter"):
        return []
    return ["adapter", *(["merged"] if machine.exists(f"{box.output}/merged") else [])]


def _bring_checked(machine: Machine, source: str, target: Path, disk: Disk) -> None:
    """Fetch a folder beside its place, verify it, and only then let it take its place."""
    part = target.with_name(f"{target.name}.part")
    disk.remove_tree(part)
    machine.get(source, part)
    problems = checksum_problems(part)
    if problems:
        raise TransferError(
            f"collect: {target.name} came home damaged: {problems[0]}",
            details="\n".join(problems),
            resolution="run `make collect` again; the machine keeps its copy until then",
        )
    disk.remove_tree(target)
    disk.rename(part, target)


def _bring_checkpoints(ctx: Context, machine: Machine, box: Box) -> list[str]:
    """Bring the newest complete checkpoint, and the best one if it is another."""
    wanted = _complete_names(machine, box)[:1]
    came: list[str] = []
    while wanted:
        name = wanted.pop(0)
        target = ctx.run.checkpoints / name
        if not (target / MANIFEST_NAME).exists():
            ctx.view.progress(f"collecting {name}")
            _bring_checkpoint(machine, f"{box.checkpoints}/{name}", target, ctx.world.disk)
        came.append(f"checkpoints/{name}")
        best = _best_of(target)
        if len(came) == 1 and best not in (None, name) and best in _complete_names(machine, box):
            wanted.append(str(best))
    return came


def _bring_checkpoint(machine: Machine, source: str, target: Path, disk: Disk) -> None:
    part = target.with_name(f"{target.name}.part")
    disk.remove_tree(part)
    machine.get(source, part)
    disk.remove_tree(target)
    try:
        verify(part)
    except CheckpointError as err:
        raise TransferError(
            f"collect: {target.name} came home damaged: {err.message}", resolution="run `make collect` again"
        ) from err
    disk.rename(part, target)


def _complete_names(machine: Machine, box: Box) -> list[str]:
    """Return the checkpoints on the machine that have a manifest, newest first."""
    numbered = [name for name in machine.names(box.checkpoints) if name.removeprefix("checkpoint-").isdigit()]
    newest_first = sorted(numbered, key=lambda name: int(name.removeprefix("checkpoint-")), reverse=True)
    return [name for name in newest_first if MANIFEST_NAME in machine.names(f"{box.checkpoints}/{name}")]


def _best_of(checkpoint: Path) -> str | None:
    """Return the name of the best checkpoint so far, as the newest one names it."""
    best = (read_json(checkpoint / "trainer_state.json") or {}).get("best_model_checkpoint")
    return Path(str(best)).name if best else None
