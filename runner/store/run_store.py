"""The store of a run: whether it works, what goes there from here and what comes back.

A run has the folder ``<store.url>/<run_id>``. What its machine knows of it is in ``arming``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from runner.context import Context
from runner.errors import TransferError
from runner.run.events import MOST_BYTES, take
from runner.run.run_file import RunFile
from runner.store.credentials import (
    Keys,
    access,
    address_of,
    is_given_remote,
    own_keys,
)
from runner.store.given_remote import CONFIGURATION, LEADS_TO_IT, given_remote
from runner.world import World
from trainer.checkpoints.complete import MANIFEST_NAME, newest_complete
from trainer.checkpoints.names import is_checkpoint, step_of
from trainer.checkpoints.places import Place
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push
from trainer.checkpoints.recipes import length_of, recipe_values
from trainer.checkpoints.transfer import Transfer
from trainer.errors import StoreError
from trainer.export.checksums import CHECKSUMS, checksum_problems
from trainer.files import SECRET_MODE, object_or_none, write_atomically

ADAPTER_MANIFEST = "manifest.json"
PROBE = "douse-check"
FINISHED = (CHECKSUMS, "acceptance.json", ADAPTER_MANIFEST)
"""What lies in the folder of an adapter that is whole, and that was judged."""
SMALL_BYTES = 4 << 20
"""What each of these may have."""
KEPT = ("adapter", "merged", "checkpoints")
"""Folders of a run that its store keeps as well."""


def check_store(world: World, run_file: RunFile) -> None:
    """Write a small file into the store, list it and remove it: what is going to be needed works now.

    Raises:
        TransferError: If the store cannot be reached, or may not be written.
        CloudError: If the role may not be taken.
    """
    section = run_file.store
    if section.url is None:
        return
    name = world.token()
    with told("plan", "or go without with SET=store.url=null"), _probed_with(run_file, world) as keys:
        place = place_of(run_file, PROBE, keys, world)
        place.write(b"Douse was here to see whether it can write.\n", name)
        try:
            listed = name in place.sizes()
        finally:
            place.remove(name)
    if not listed:
        raise TransferError(
            f"plan: {section.url} takes a file and does not list it", resolution="check what store.url leads to"
        )


@contextmanager
def _probed_with(run_file: RunFile, world: World) -> Iterator[Keys]:
    """Yield what opens the store: here, or with a remote that the machine is given just what it is going to have."""
    if not is_given_remote(run_file):
        yield own_keys(run_file, PROBE, world)
        return
    given = given_remote(run_file.store.url or "", world)
    with world.scratch("douse-store-", in_memory=True) as folder:
        path = folder / CONFIGURATION
        write_atomically(path, given.text.encode(), SECRET_MODE)
        yield Keys({LEADS_TO_IT: str(path)})


def kept_here(ctx: Context) -> list[str]:
    """Return the folders of a run on this machine that its store keeps as well, relative to the run folder."""
    return [name for name in KEPT if (ctx.run.path / name).is_dir()]


def wanted_there(ctx: Context, names: Sequence[str]) -> list[str]:
    """Return the folders that go to the run's store of what ``collect`` brought; none where it has no store."""
    if ctx.run_file.store.url is None:
        return []
    return sorted({name.partition("/")[0] for name in names} & set(KEPT))


def copy_home(ctx: Context, names: Sequence[str]) -> None:
    """Copy what came home to the store: adapter, merged model, checkpoints; what is there already is not moved again.

    Args:
        ctx: The run.
        names: What ``collect`` brought, relative to the run folder.

    Raises:
        TransferError: If the store cannot be reached or refuses.
        CloudError: If the role may not be taken.
    """
    folders = wanted_there(ctx, names)
    if not folders:
        return
    with told("store", f"all of it is in {ctx.run.path}, `make sync RUN={ctx.run.run_id}` copies it from there"):
        how = access(ctx.run_file, own_keys(ctx.run_file, ctx.run.run_id, ctx.world), ctx.world)
        for name in folders:
            ctx.view.progress(f"storing {name}")
            done = push(ctx.run.path / name, f"{folder_url(ctx)}/{name}", **how)
            _tell(ctx, f"stored: {folder_url(ctx)}/{name}", done)


def exchange(ctx: Context, folder: Path, direction: Literal["push", "pull"]) -> None:
    """Copy the checkpoints in a folder of this machine to the store, or the newest from there.

    Raises:
        TransferError: If the store cannot be reached or refuses.
    """
    url = f"{folder_url(ctx)}/checkpoints"
    with told("sync", f"the checkpoints of the run are in {folder}"):
        how = access(ctx.run_file, own_keys(ctx.run_file, ctx.run.run_id, ctx.world), ctx.world)
        done = push(folder, url, **how) if direction == "push" else pull(url, folder, **how)
    _tell(ctx, f"{direction}: {url}", done)


def fetch_past(ctx: Context) -> None:
    """Bring the newest whole checkpoint of the run from the store, if it is newer than those in the run folder.

    Raises:
        TransferError: If the store cannot be reached, or holds checkpoints, none of them whole, and here is none.
        CloudError: If the role may not be taken.
    """
    if ctx.run_file.store.url is None:
        return
    with told("store", "or go on with what is here with SET=store.url=null"):
        keys = own_keys(ctx.run_file, ctx.run.run_id, ctx.world)
        place = place_of(ctx.run_file, ctx.run.run_id, keys, ctx.world)
        here, _ = newest_complete(ctx.run.checkpoints)
        there = _newest_step(list(place.sizes()))
        if there is None or (here is not None and here.step >= there):
            return
        ctx.view.progress(f"fetching checkpoint-{there} from the store")
        try:
            how = access(ctx.run_file, keys, ctx.world)
            done = pull(f"{folder_url(ctx)}/checkpoints", ctx.run.checkpoints, **how)
        except StoreError as err:
            if here is None:
                raise
            ctx.view.line(f"{err.message}; going on from checkpoint-{here.step}, which is here")
            return
        _tell(ctx, f"fetched: {folder_url(ctx)}/checkpoints", done)
        _fetch_events(ctx, place)


def finished_work(ctx: Context, *, most_bytes: int | None) -> list[str]:
    """Return the folders of the run's store with what training was to make; none where it was not done, or longer ago.

    A run that was made longer has an adapter of its former length there until the new one is made.

    Args:
        ctx: The run.
        most_bytes: What the adapter's folder may have; ``None`` for any size.

    Raises:
        TransferError: If the store cannot be reached or refuses, or its adapter is larger than it may be.
        CloudError: If the role may not be taken.
    """
    with told("store", "or go on without it"):
        place = place_of(ctx.run_file, ctx.run.run_id, own_keys(ctx.run_file, ctx.run.run_id, ctx.world), ctx.world)
        there = place.sizes()
        if not all(0 < there.get(f"adapter/{name}", 0) <= SMALL_BYTES for name in FINISHED):
            return []
        size_bytes = sum(size for name, size in there.items() if name.startswith("adapter/"))
        if most_bytes is not None and size_bytes > most_bytes:
            raise TransferError(
                f"store: the adapter in {folder_url(ctx)} has {size_bytes:,} bytes, and may have {most_bytes:,}",
                resolution="look at what the machine has stored there",
            )
        verdict, manifest = (object_or_none(place.read(f"adapter/{name}")) or {} for name in FINISHED[1:])
        is_of_this_length = manifest.get("length") == length_of(recipe_values(ctx.run_file.recipe()))
        if verdict.get("accepted") is not True or not is_of_this_length:
            return []
        wanted = ("adapter", "merged") if ctx.run_file.artifacts.merged_model else ("adapter",)
        return [name for name in wanted if f"{name}/{CHECKSUMS}" in there]


def fetch_work(ctx: Context, names: Sequence[str]) -> None:
    """Bring finished folders from the store beside their places, verify them, and only then let them take these.

    Raises:
        TransferError: If the store cannot be reached or refuses, or one of them is damaged.
        CloudError: If the role may not be taken.
    """
    disk = ctx.world.disk
    with told("store", "or go on without it"):
        keys = own_keys(ctx.run_file, ctx.run.run_id, ctx.world)
        how = access(ctx.run_file, keys, ctx.world)
        for name in names:
            ctx.view.progress(f"fetching {name} from the store")
            target = ctx.run.path / name
            part = target.with_name(f"{name}.part")
            disk.remove_tree(part)
            done = pull(f"{folder_url(ctx)}/{name}", part, **how)
            problems = checksum_problems(part)
            if problems:
                disk.remove_tree(part)
                raise TransferError(
                    f"store: {folder_url(ctx)}/{name} is damaged: {problems[0]}",
                    details="\n".join(problems),
                    resolution="look at what the machine has stored there",
                )
            disk.remove_tree(target)
            disk.rename(part, target)
            _tell(ctx, f"fetched: {folder_url(ctx)}/{name}", done)
        _fetch_events(ctx, place_of(ctx.run_file, ctx.run.run_id, keys, ctx.world))


def folder_url(ctx: Context) -> str:
    """Return the address of the run's own folder in the store."""
    return address_of(ctx.run_file, ctx.run.run_id)


def place_of(run_file: RunFile, name: str, keys: Keys, world: World) -> Place:
    """Return a folder of the store."""
    how = access(run_file, keys, world)
    place: Place = how.pop("opened")(address_of(run_file, name), **how)
    return place


def _newest_step(names: Sequence[str]) -> int | None:
    """Return the newest step of which the store has a checkpoint with a manifest."""
    parts = [name.split("/") for name in names]
    found = [one[1] for one in parts if len(one) == 3 and (one[0], one[2]) == ("checkpoints", MANIFEST_NAME)]
    return max((step_of(name) for name in found if is_checkpoint(name)), default=None)


def _fetch_events(ctx: Context, place: Place) -> None:
    """Take the story as the machine wrote it to the store, if it goes on where ours ends."""
    if "events.jsonl" not in place.sizes():
        return
    theirs = take(place.read("events.jsonl")[:MOST_BYTES]).content
    ours = ctx.run.events.read_bytes() if ctx.run.events.exists() else b""
    if theirs.startswith(ours) and len(theirs) > len(ours):
        ctx.run.events.append(theirs[len(ours) :])


def _tell(ctx: Context, words: str, done: Transfer) -> None:
    ctx.view.line(f"{words} ({done.files} files, {done.size_bytes / 2**20:.1f} MiB, {done.unchanged} there already)")
    for remark in done.remarks:
        ctx.view.line(f"store: {remark}")


@contextmanager
def told(step: str, otherwise: str) -> Iterator[None]:
    """Turn the trainer's error of the store into ours, so that whoever ends machines knows it for what it is."""
    try:
        yield
    except (StoreError, OSError) as err:
        message, hint, details = str(err), "check what store.url leads to", None
        if isinstance(err, StoreError):
            message, hint, details = err.message.removeprefix("sync: "), err.resolution, err.details
        raise TransferError(f"{step}: {message}", resolution=f"{hint}; {otherwise}", details=details) from err
