"""One checkpoint of a run's folder: into the store, and out of it again."""

from __future__ import annotations

from runner.context import Context
from runner.errors import TransferError
from runner.store.credentials import own_keys
from runner.store.run_store import folder_url, place_of, told
from trainer.checkpoints.places import Place
from trainer.checkpoints.push import forget_checkpoint, push_checkpoint

OTHERWISE = "or go on without with SET=store.url=null"


def store_checkpoint(ctx: Context, name: str) -> None:
    """Bring a checkpoint of the run folder into the store: its files, then its manifest.

    Raises:
        TransferError: If the store cannot be reached or refuses, or the checkpoint is not whole.
        CloudError: If the role may not be taken.
    """
    with told("store", OTHERWISE):
        place = _place(ctx)
        done = push_checkpoint(place, ctx.run.path, f"checkpoints/{name}")
    if done.remarks:
        raise TransferError(f"store: {done.remarks[0]}", resolution="the next checkpoint is tried")
    ctx.view.line(f"stored: {folder_url(ctx)}/checkpoints/{name} ({done.size_bytes / 2**20:.1f} MiB)")


def forget_stored(ctx: Context, name: str) -> None:
    """Remove a checkpoint from the store, its manifest first.

    Raises:
        TransferError: If the store cannot be reached or refuses.
        CloudError: If the role may not be taken.
    """
    with told("store", OTHERWISE):
        place = _place(ctx)
        forget_checkpoint(place, f"checkpoints/{name}")


def _place(ctx: Context) -> Place:
    """Return the run's folder of the store."""
    return place_of(ctx.run_file, ctx.run.run_id, own_keys(ctx.run_file, ctx.run.run_id, ctx.world), ctx.world)
