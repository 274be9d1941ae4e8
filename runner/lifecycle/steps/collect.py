"""Collect: what was made comes home, with checksums, before anything is taken down."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from runner.adapters.machine import Allowance, Machine
from runner.adapters.process import Cancel
from runner.context import Context
from runner.errors import RunnerError, TransferError
from runner.lifecycle.event_copy import EventCopy
from runner.lifecycle.time_limit import hours_to_collect
from runner.run.models import Box, Host
from trainer.checkpoints.complete import MANIFEST_NAME, verify
from trainer.errors import CheckpointError
from trainer.export.checksums import checksum_problems
from trainer.files import read_json

MIB = 1 << 20
PLAIN = {
    "metrics.json": ("metrics.json", 64 * MIB),
    "trainer.log": ("logs/trainer.log", 256 * MIB),
    "tensorboard": ("tensorboard", 1024 * MIB),
}
"""What comes home as it is: name in the output folder, name in the run folder, bytes that it may have."""
BESIDE_ADAPTER_BYTES = 256 * MIB
"""Tokenizer, card and figures, which lie beside an adapter's weights and may be larger than these."""
UNPLANNED_GIB = 200.0
"""Disk of a machine whose plan cannot be read."""
MOST_CHECKPOINTS = 100
CHECKPOINT = re.compile(r"checkpoint-[0-9]{1,12}")


def collect(ctx: Context, host: Host, *, with_checkpoints: bool) -> list[str]:
    """Bring the results home.

    Args:
        ctx: The run.
        host: The machine.
        with_checkpoints: Whether to bring the newest and the best checkpoint, because the run may go on from them.

    Returns:
        Names of what came, relative to the run folder.

    Raises:
        TransferError: If what came does not have the checksums of what was sent.
        ConnectionLostError: If the machine cannot be reached.
    """
    machine = ctx.machine(host)
    fetch = _Fetch(ctx, machine)
    try:
        box = ctx.box(host, machine)
        _finish_events(ctx, machine, box, fetch.is_over)
        came = [name for name in PLAIN if _bring(ctx, fetch, box, name)]
        damaged: TransferError | None = None
        for name in _finished(machine, box):
            ctx.view.progress(f"collecting {name}")
            try:
                size_bytes = _adapter_bytes(ctx) if name == "adapter" else None
                fetch.get_verified(f"{box.output}/{name}", ctx.run.path / name, _check_sums, size_bytes)
                came.append(name)
            except TransferError as err:
                damaged = damaged or err  # the machine may go after this: what can still come home comes first
        if with_checkpoints:
            came += _bring_checkpoints(ctx, fetch, box)
    finally:
        machine.close()
    if damaged is not None:
        raise damaged
    return came


class _Fetch:
    """Fetches from a machine until the user has no patience left or the time for it is over."""

    def __init__(self, ctx: Context, machine: Machine) -> None:
        self.machine = machine
        self._ctx, self._deadline_s = ctx, ctx.world.monotonic_s() + hours_to_collect(ctx) * 3600
        self._folder_bytes = round((2 * _planned_disk_gib(ctx) + 1) * 1024 * MIB)

    def is_over(self) -> bool:
        """Return whether nothing is fetched any more."""
        return self._ctx.stop.urgent or self._ctx.world.monotonic_s() > self._deadline_s

    def get(self, source: str, target: Path, size_bytes: int | None = None) -> None:
        """Fetch a file or folder; it may have twice what the plan gave the machine's disk, unless a size is given."""
        allowance = Allowance(self._folder_bytes if size_bytes is None else size_bytes)
        self.machine.get(source, target, allowance, cancel=self.is_over)

    def get_verified(
        self, source: str, target: Path, check: Callable[[Path], None], size_bytes: int | None = None
    ) -> None:
        """Fetch a folder beside its place, verify it, and only then let it take its place.

        Args:
            source: The folder on the machine.
            target: Its place here.
            check: Called with what came; raises ``TransferError`` where that is not what the machine has.
            size_bytes: Bytes that it may have; as ``get`` where nothing is given.
        """
        disk, part = self._ctx.world.disk, target.with_name(f"{target.name}.part")
        disk.remove_tree(part)
        self.get(source, part, size_bytes)
        check(part)
        disk.remove_tree(target)
        disk.rename(part, target)


def _planned_disk_gib(ctx: Context) -> float:
    try:
        return ctx.plan.disk_needed_gib
    except RunnerError:  # it is missing or damaged, and the results are to come home all the same
        return UNPLANNED_GIB


def _adapter_bytes(ctx: Context) -> int | None:
    """Return what an adapter's folder may have, twice the plan's weights, or ``None`` where none were planned."""
    try:
        forecast = ctx.plan.first.forecast
    except RunnerError:
        return None
    planned_bytes = 0 if forecast is None else forecast.work.get("adapter_bytes", 0)
    return 2 * planned_bytes + BESIDE_ADAPTER_BYTES if planned_bytes else None


def _finish_events(ctx: Context, machine: Machine, box: Box, is_over: Cancel) -> None:
    copy = EventCopy(ctx, machine)
    while not is_over() and copy.look(box) is not None:
        pass
    copy.say_skipped()


def _bring(ctx: Context, fetch: _Fetch, box: Box, name: str) -> bool:
    """Bring what comes home as it is; one that is refused keeps nothing else from coming."""
    source, (target, size_bytes) = f"{box.output}/{name}", PLAIN[name]
    if not fetch.machine.exists(source):
        return False
    try:
        fetch.get(source, ctx.run.path / target, size_bytes)
    except TransferError as err:
        ctx.view.line(err.message)
        return False
    return True


def _finished(machine: Machine, box: Box) -> list[str]:
    """Return the results of training. An adapter without a verdict stays behind: its checkpoint comes home."""
    if "acceptance.json" not in machine.names(f"{box.output}/adapter"):
        return []
    return ["adapter", *(["merged"] if machine.exists(f"{box.output}/merged") else [])]


def _check_sums(part: Path) -> None:
    problems = checksum_problems(part)
    if problems:
        raise TransferError(
            f"collect: {part.stem} came home damaged: {problems[0]}",
            details="\n".join(problems),
            resolution="run `make collect` again; the machine keeps its copy until then",
        )


def _bring_checkpoints(ctx: Context, fetch: _Fetch, box: Box) -> list[str]:
    """Bring the newest complete checkpoint, and the best one if it is another."""
    complete = _complete_names(fetch.machine, box)
    wanted = complete[:1]
    came: list[str] = []
    while wanted:
        name = wanted.pop(0)
        target = ctx.run.checkpoints / name
        if not (target / MANIFEST_NAME).exists():
            ctx.view.progress(f"collecting {name}")
            fetch.get_verified(f"{box.checkpoints}/{name}", target, _check_manifest)
        came.append(f"checkpoints/{name}")
        best = _best_of(target)
        if len(came) == 1 and best not in (None, name) and best in complete:
            wanted.append(str(best))
    return came


def _check_manifest(part: Path) -> None:
    try:
        verify(part)
    except CheckpointError as err:
        raise TransferError(
            f"collect: {part.stem} came home damaged: {err.message}", resolution="run `make collect` again"
        ) from err


def _complete_names(machine: Machine, box: Box) -> list[str]:
    """Return the checkpoints on the machine that have a manifest, newest first; only so many are looked into."""
    numbered = [name for name in machine.names(box.checkpoints) if CHECKPOINT.fullmatch(name)]
    newest_first = sorted(numbered, key=lambda name: int(name.removeprefix("checkpoint-")), reverse=True)
    looked_into = newest_first[:MOST_CHECKPOINTS]
    return [name for name in looked_into if MANIFEST_NAME in machine.names(f"{box.checkpoints}/{name}")]


def _best_of(checkpoint: Path) -> str | None:
    """Return the name of the best checkpoint so far, as the newest one names it."""
    best = (read_json(checkpoint / "trainer_state.json") or {}).get("best_model_checkpoint")
    return Path(str(best)).name if best else None
