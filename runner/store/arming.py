"""What a rented machine knows of the run's store while it works, so that it brings its work there by itself.

Each checkpoint goes there as soon as it is complete, and the rest when the lease runs out and nobody is left to fetch
it. What opens the store goes into the machine's memory over SSH, credentials are renewed as long as a runner is there;
they are in no argument, log or file here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.adapters import secrets
from runner.adapters.background import beside
from runner.adapters.machine import Machine
from runner.adapters.secrets import put_secret, put_secrets
from runner.clouds.environments import find_environment
from runner.context import Context
from runner.errors import CloudError, RunnerError
from runner.run.models import Box, Host
from runner.run.run_dir import read_json, write_json
from runner.run.run_file import RunFile
from runner.store.credentials import Keys, endpoint_url, is_given_remote, is_s3, machine_keys, own_rights
from runner.store.given_remote import CONFIGURATION, LEADS_TO_IT, given_remote
from runner.store.run_store import folder_url
from runner.world import Event

CA_NAME = "store-ca.pem"
PROGRAM_THERE = "rclone/bin/rclone"
"""rclone on the machine, in the run's folder; the role ``python_env`` installs it."""
LOOK_S = 20.0
STAY = """[ "$(id -u)" = 0 ] || ! command -v loginctl >/dev/null ||
timeout 20 sudo -n loginctl enable-linger "$(id -un)"
"""
"""logind removes a user's files in memory with his last login (RemoveIPC): just when the runner is gone."""


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
    if is_given_remote(ctx.run_file):
        order["rclone"] = f"{box.prefix}/{PROGRAM_THERE}"
    if ca_file is not None:
        order["ca_file"] = ca_file
    if rights is not None:
        order["own_rights"] = rights
    with ctx.world.scratch("douse-store-") as folder:
        path = folder / "upload.json"
        write_json(path, order)
        machine.put(path, _order(box))
    if is_s3(ctx.run_file) and section.role_arn is None:
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


def is_armed(run_file: RunFile) -> bool:
    """Return whether the machine itself has to know of the store: one that is rented, and that can reach it."""
    return run_file.store.is_within_reach and find_environment(run_file.compute.env).rents_machine


def _order(box: Box) -> str:
    return f"{box.prefix}/lease/upload.json"


def _bring_keys(ctx: Context, host: Host, machine: Machine) -> str:
    """Put credentials into the machine's memory, note when new ones are due, and return their file there."""
    lease = f"{ctx.box(host, machine).prefix}/lease"
    keys = _keys_there(ctx, machine, lease)
    path = put_secrets(ctx.world, machine, ctx.run.run_id, lease, keys.values, name="store")
    noted = {
        "machine": host.instance_id,
        "ends_at": None if keys.ends_at is None else keys.ends_at.isoformat(timespec="seconds"),
        "renew_at": None if keys.renew_at is None else keys.renew_at.isoformat(timespec="seconds"),
    }
    write_json(ctx.run.file("store.json"), noted)
    return path


def _keys_there(ctx: Context, machine: Machine, fallback: str) -> Keys:
    """Return what opens the store on the machine: keys, or what leads to a configuration of rclone's, put there."""
    if not is_given_remote(ctx.run_file):
        return machine_keys(ctx.run_file, ctx.run.run_id, ctx.world)
    given = given_remote(ctx.run_file.store.url or "", ctx.world)
    path = put_secret(ctx.world, machine, ctx.run.run_id, fallback, CONFIGURATION, given.text.encode())
    where = "in its memory" if path.startswith(secrets.MEMORY) else "on its disk: it has no file system in memory"
    ctx.view.line(f"store: the machine has your rclone's {' and '.join(given.names)} {where}")
    return Keys({LEADS_TO_IT: path})


def _renew(ctx: Context, host: Host, over: Event) -> None:
    while not over.wait(LOOK_S):
        try:
            renew_if_due(ctx, host, ctx.world.now())
        except CloudError as err:
            ctx.view.progress(f"{err.message}; the store's credentials on the machine are not renewed yet")
        except RunnerError:
            continue  # the step that needs the machine reports it; here only the next try counts
