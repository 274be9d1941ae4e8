"""Sync by hand: checkpoints to the store or from it, by the machine itself while there is one, else by this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from runner.context import Context
from runner.errors import UsageError
from runner.lifecycle.play import play
from runner.run.models import Box, Host
from runner.run.run_dir import read_json
from runner.run.state import locked
from runner.store import arming
from runner.store import run_store as storing
from runner.store.credentials import endpoint_url, is_given_remote, is_remote, is_s3, machine_keys
from runner.store.given_remote import given_remote
from trainer.files import SECRET_MODE, write_atomically

Direction = Literal["push", "pull"]


def sync_machine(ctx: Context, host: Host, direction: Direction) -> None:
    """Let the machine bring its checkpoints to the store, or take the newest from there.

    Raises:
        UsageError: If it has no environment yet, or only this machine can open the store.
        PlaybookFailedError: If it did not work.
        CloudError: If there are no credentials for it.
        TransferError: If a remote of rclone's cannot be reached or refuses.
    """
    url = needed_url(ctx)
    inventory: dict[str, Any] | None = read_json(ctx.run.file("inventory/hosts.json"))
    if inventory is None:
        raise UsageError(
            f"sync: the machine of {ctx.run.run_id} has no environment yet", resolution="make it with `make configure`"
        )
    is_reached = is_s3(ctx.run_file) or is_given_remote(ctx.run_file)
    if not is_reached and not host.is_this_machine:
        what = "a remote of this machine's rclone" if is_remote(ctx.run_file) else "a folder of this machine"
        raise UsageError(
            f"sync: store.url is {url}, {what}, and the run is on {host.address}",
            resolution="bring home what it has, and with that to the store, by `make collect`",
        )
    machine = ctx.machine(host)
    try:
        box = ctx.box(host, machine)
        ca_file = arming.bring_ca(ctx, machine, box.prefix)
    finally:
        machine.close()
    if is_remote(ctx.run_file) and host.is_this_machine:  # its rclone is the control side's, not the trainer's
        storing.exchange(ctx, Path(box.checkpoints), direction)
        return
    with ctx.world.scratch("douse-sync-", in_memory=True) as folder:
        variables = {
            "sync_direction": direction,
            "sync_prefix": box.prefix,
            "sync_url": f"{storing.folder_url(ctx)}/checkpoints",
            "sync_endpoint_url": endpoint_url(ctx.run_file, ctx.world.environ) or "",
            **_secret_variables(ctx, box, folder),
        }
        if ca_file is not None:
            variables["sync_ca_file"] = ca_file
        done = play(ctx, "sync.yml", inventory, variables)
    moved = "is now what the other side has" if done.changed else "was there already"
    ctx.view.line(f"{direction}: {storing.folder_url(ctx)}/checkpoints {moved}")


def sync_home(ctx: Context, direction: Direction) -> None:
    """Copy what the run folder holds to the store, or bring the newest checkpoint from there.

    Raises:
        UsageError: If the run has no store.
        RunLockedError: If a runner drives the run.
        TransferError: If the store refuses.
    """
    needed_url(ctx)
    with locked(ctx.run):
        if direction == "push":
            storing.copy_home(ctx, storing.kept_here(ctx))
        else:
            storing.fetch_past(ctx)


def needed_url(ctx: Context) -> str:
    """Return the store of the run.

    Raises:
        UsageError: If it has none.
    """
    url = ctx.run_file.store.url
    if url is None:
        raise UsageError(f"sync: {ctx.run.run_id} has no store", resolution="set store.url in the run file of a run")
    return url


def _secret_variables(ctx: Context, box: Box, folder: Path) -> dict[str, str]:
    """Return the file with what opens the store, and rclone's program on a machine that opens it by that."""
    if is_given_remote(ctx.run_file):
        given = given_remote(ctx.run_file.store.url or "", ctx.world)
        program = f"{box.prefix}/{arming.PROGRAM_THERE}"
        return {"sync_credentials_file": _write(folder, given.text), "sync_rclone": program}
    if is_s3(ctx.run_file):
        keys = machine_keys(ctx.run_file, ctx.run.run_id, ctx.world)
        return {"sync_credentials_file": _write(folder, json.dumps(keys.values))}
    return {"sync_credentials_file": ""}


def _write(folder: Path, secret: str) -> str:
    path = folder / "secret"
    write_atomically(path, secret.encode(), SECRET_MODE)
    return str(path)
