"""The store of a run: whose credentials open it, what the machine knows of it, what goes there and comes back.

A run has the folder ``<store.url>/<run_id>``. With S3, a rented machine knows it while it works: each checkpoint goes
there as soon as it is complete, and the rest when the lease runs out and nobody is left to fetch it. Credentials go
into its memory over SSH and are renewed as long as a runner is there; they are in no argument, log or file here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from runner.adapters.background import beside
from runner.adapters.machine import Machine
from runner.adapters.secrets import put_secrets
from runner.clouds.environments import find_environment
from runner.context import Context
from runner.errors import CloudError, RunnerError, TransferError
from runner.run.events import MOST_BYTES, take
from runner.run.models import Box, Host
from runner.run.run_dir import read_json, write_json
from runner.run.run_file import RunFile
from runner.store.credentials import Keys, access, address_of, endpoint_url, is_s3, machine_keys, own_keys, own_rights
from runner.world import Event, World
from trainer.checkpoints.complete import MANIFEST_NAME, newest_complete
from trainer.checkpoints.names import is_checkpoint, step_of
from trainer.checkpoints.places import Place, open_place
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push
from trainer.checkpoints.transfer import Transfer
from trainer.errors import StoreError

PROBE = "douse-check"
KEPT = ("adapter", "merged", "checkpoints")
"""Folders of a run that its store keeps as well."""
CA_NAME = "store-ca.pem"
LOOK_S = 20.0
STAY = """[ "$(id -u)" = 0 ] || ! command -v loginctl >/dev/null ||
timeout 20 sudo -n loginctl enable-linger "$(id -un)"
"""
"""logind removes a user's files in memory with his last login (RemoveIPC): just when the runner is gone."""


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
    with told("plan", "or go without with SET=store.url=null"):
        place = place_of(run_file, PROBE, own_keys(run_file, PROBE, world), world)
        place.write(b"Douse was here to see whether it can write.\n", name)
        try:
            listed = name in place.sizes()
        finally:
            place.remove(name)
    if not listed:
        raise TransferError(
            f"plan: {section.url} takes a file and does not list it", resolution="check what store.url leads to"
        )


def arm(ctx: Context, host: Host, machine: Machine) -> None:
    """Send a rented machine the place for its work when its lease expires, and the credentials for it.

    Raises:
        CloudError: If there are no credentials to be had.
        TransferError: If they cannot be put there.
        ConnectionLostError: If the machine cannot be reached.
    """
    if not is_armed(ctx.run_file):
        return
    box, section = ctx.box(host, machine), ctx.run_file.store
    if machine.run(["sh", "-c", STAY], timeout_s=60).exit_code != 0:
        ctx.view.line("store: the machine may forget the store's credentials after the last login session ends")
    environment_file = _bring_keys(ctx, host, machine)
    order = {
        "folder": box.output,
        "url": folder_url(ctx),
        "endpoint_url": endpoint_url(ctx.run_file, ctx.world.environ),
        "environment_file": environment_file,
    }
    ca_file, rights = bring_ca(ctx, machine, box.prefix), own_rights(ctx.run_file, ctx.world.environ)
    if ca_file is not None:
        order["ca_file"] = ca_file
    if rights is not None:
        order["own_rights"] = rights
    with ctx.world.scratch("douse-store-") as folder:
        path = folder / "upload.json"
        write_json(path, order)
        machine.put(path, _order(box))
    if section.role_arn is None:
        ctx.view.line(
            "store: the machine has your own AWS credentials; store.role_arn would give it the run's folder only"
        )


def order_there(ctx: Context, box: Box) -> str | None:
    """Return the file on an armed machine that says which store takes its work; ``None`` where none was armed."""
    return _order(box) if is_armed(ctx.run_file) else None


def bring_ca(ctx: Context, machine: Machine, prefix: str) -> str | None:
    """Put the certificates that the store is judged by on a machine; return their file there, ``None`` without any.

    Args:
        ctx: The run.
        machine: Where to put them.
        prefix: The run's folder there.

    Raises:
        TransferError: If they cannot be put there.
        ConnectionLostError: If the machine cannot be reached.
    """
    ca_file = ctx.run_file.store.ca_file
    if ca_file is None:
        return None
    path = f"{prefix}/{CA_NAME}"
    machine.put(Path(ca_file), path)
    return path


@contextmanager
def kept_open(ctx: Context, host: Host) -> Iterator[None]:
    """Renew the credentials of an armed machine as long as the block goes on."""
    if not is_armed(ctx.run_file):
        yield
        return
    renewing = lambda over: _renew(ctx, host, over)  # noqa: E731
    with beside(ctx.world, renewing, name="store", patience_s=LOOK_S, is_urgent=ctx.stop.impatience()):
        yield


def renew_if_due(ctx: Context, host: Host, now: datetime) -> bool:
    """Bring an armed machine new credentials if a good part of the old ones' life is over; return whether it did.

    Raises:
        CloudError: If there are none to be had.
        ConnectionLostError: If the machine cannot be reached.
    """
    noted: dict[str, Any] = read_json(ctx.run.file("store.json")) or {}
    due = noted.get("renew_at")
    if noted.get("machine") != host.instance_id or due is None or now < datetime.fromisoformat(due):
        return False
    machine = ctx.machine(host)
    try:
        _bring_keys(ctx, host, machine)
    finally:
        machine.close()
    return True


def kept_here(ctx: Context) -> list[str]:
    """Return the folders of a run on this machine that its store keeps as well, relative to the run folder."""
    return [name for name in KEPT if (ctx.run.path / name).is_dir()]


def copy_home(ctx: Context, names: Sequence[str]) -> None:
    """Copy what came home to the store: adapter, merged model, checkpoints; what is there already is not moved again.

    Args:
        ctx: The run.
        names: What ``collect`` brought, relative to the run folder.

    Raises:
        TransferError: If the store cannot be reached or refuses.
        CloudError: If the role may not be taken.
    """
    if ctx.run_file.store.url is None:
        return
    folders = sorted({name.partition("/")[0] for name in names} & set(KEPT))
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


def folder_url(ctx: Context) -> str:
    """Return the address of the run's own folder in the store."""
    return address_of(ctx.run_file, ctx.run.run_id)


def is_armed(run_file: RunFile) -> bool:
    """Return whether the machine itself has to know of the store: one that is rented, and that can reach it."""
    return is_s3(run_file) and find_environment(run_file.compute.env).rents_machine


def _order(box: Box) -> str:
    return f"{box.prefix}/lease/upload.json"


def place_of(run_file: RunFile, name: str, keys: Keys, world: World) -> Place:
    """Return a folder of the store."""
    return open_place(address_of(run_file, name), **access(run_file, keys, world))


def _bring_keys(ctx: Context, host: Host, machine: Machine) -> str:
    """Put credentials into the machine's memory, note when new ones are due, and return their file there."""
    keys = machine_keys(ctx.run_file, ctx.run.run_id, ctx.world)
    box = ctx.box(host, machine)
    path = put_secrets(ctx.world, machine, ctx.run.run_id, f"{box.prefix}/lease", keys.values, name="store")
    noted = {
        "machine": host.instance_id,
        "ends_at": None if keys.ends_at is None else keys.ends_at.isoformat(timespec="seconds"),
        "renew_at": None if keys.renew_at is None else keys.renew_at.isoformat(timespec="seconds"),
    }
    write_json(ctx.run.file("store.json"), noted)
    return path


def _renew(ctx: Context, host: Host, over: Event) -> None:
    while not over.wait(LOOK_S):
        try:
            renew_if_due(ctx, host, ctx.world.now())
        except CloudError as err:
            ctx.view.progress(f"{err.message}; the store's credentials on the machine are not renewed yet")
        except RunnerError:
            continue  # the step that needs the machine reports it; here only the next try counts


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
