"""Collect: what was made comes home, with checksums, before anything is taken down."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from runner.adapters.machine import Machine
from runner.adapters.process import Cancel
from runner.context import Context
from runner.errors import ConnectionLostError, RunnerError, TransferError
from runner.lifecycle.event_copy import EventCopy
from runner.lifecycle.fetching import MIB, Fetch, bring_checkpoints
from runner.run.gpu_log import MOST_BYTES, joined
from runner.run.models import Box, Host
from trainer.export.checksums import checksum_problems

PLAIN = {
    "metrics.json": ("metrics.json", 64 * MIB),
    "trainer.log": ("logs/trainer.log", 256 * MIB),
    "tensorboard": ("tensorboard", 1024 * MIB),
}
"""What comes home as it is: name in the output folder, name in the run folder, bytes that it may have."""
BESIDE_ADAPTER_BYTES = 256 * MIB
"""Tokenizer, card and figures, which lie beside an adapter's weights and may be larger than these."""


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
    fetch = Fetch(ctx, machine)
    try:
        box = ctx.box(host, machine)
        _finish_events(ctx, machine, box, fetch.is_over)
        came = [name for name in PLAIN if _bring(ctx, fetch, box, name)]
        damaged: TransferError | None = None
        for name in _finished(machine, box):
            ctx.view.progress(f"collecting {name}")
            try:
                size_bytes = most_adapter_bytes(ctx) if name == "adapter" else None
                fetch.get_verified(f"{box.output}/{name}", ctx.run.path / name, _check_sums, size_bytes)
                came.append(name)
            except TransferError as err:
                damaged = damaged or err  # the machine may go after this: what can still come home comes first
        if with_checkpoints:
            checkpoints, passed_over = bring_checkpoints(ctx, fetch, box)
            came, damaged = [*came, *checkpoints], damaged or passed_over
        came += [ctx.run.gpu_log.name] if _bring_gpu_log(ctx, machine, box, fetch.is_over) else []
    finally:
        machine.close()
    if damaged is not None:
        raise damaged
    return came


def most_adapter_bytes(ctx: Context) -> int | None:
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


def _bring(ctx: Context, fetch: Fetch, box: Box, name: str) -> bool:
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


def _bring_gpu_log(ctx: Context, machine: Machine, box: Box, is_over: Cancel) -> bool:
    """Bring what is readable of the machine's log of its GPUs, behind those of the machines before it.

    It comes last, and a connection that breaks in it costs its end alone: nothing depends on it.
    """
    content = b""
    with suppress(ConnectionLostError):
        while len(content) < MOST_BYTES and not is_over() and (part := machine.read_from(box.gpu_log, len(content))):
            content += part
    home = ctx.run.gpu_log
    log = joined(home.read_or_nothing(), content) if content else b""
    if log:
        home.write_bytes(log)
    return bool(log)


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
