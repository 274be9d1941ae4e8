"""Secrets on their way to a machine: over SSH into a file in its memory, never in an argument, a log or a state."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping

from runner.adapters.machine import Machine
from runner.errors import TransferError
from runner.world import World
from trainer.files import SECRET_MODE, write_atomically

MEMORY = "/dev/shm"  # noqa: S108 - the file system that Linux keeps in memory, on the machine
HUB_TOKEN = "HF_TOKEN"  # noqa: S105 - the name of a variable
HUB_ENDPOINT = "HF_ENDPOINT"


def hub_secrets(world: World) -> dict[str, str]:
    """Return the Hub token of this machine's user as variables, or nothing where there is none."""
    from huggingface_hub import get_token

    token = world.environ.get(HUB_TOKEN) or get_token()
    return {} if not token else {HUB_TOKEN: token}


def hub_address(world: World) -> dict[str, str]:
    """Return the variable that leads to another Hub than huggingface.co, where this machine's user has it."""
    address = world.environ.get(HUB_ENDPOINT, "").strip()
    return {HUB_ENDPOINT: address} if address else {}


def put_secrets(
    world: World, machine: Machine, run_id: str, fallback: str, values: Mapping[str, str], *, name: str = "variables"
) -> str:
    """Bring variables onto a machine and return the path of their file, which only its user can read.

    Args:
        world: Where the file is made.
        machine: The machine.
        run_id: Id of the run; names the folder.
        fallback: Folder that is the user's alone, for a machine without a file system in memory.
        values: The variables.
        name: What to call the file; each name holds one set of variables.

    Raises:
        TransferError: If the folder cannot be made.
    """
    return put_secret(world, machine, run_id, fallback, f"{name}.json", json.dumps(dict(values)).encode())


def put_secret(world: World, machine: Machine, run_id: str, fallback: str, name: str, content: bytes) -> str:
    """Bring a secret file onto a machine and return its path there, which only its user can read; see ``put_secrets``.

    Args:
        world: Where the file is made.
        machine: The machine.
        run_id: Id of the run; names the folder.
        fallback: Folder that is the user's alone, for a machine without a file system in memory.
        name: What to call the file.
        content: What is in it.

    Raises:
        TransferError: If the folder cannot be made.
    """
    root = MEMORY if machine.exists(MEMORY) else fallback
    folder = posixpath.join(root, f"douse-{run_id}")
    made = machine.run(["mkdir", "-p", "-m", "700", folder], timeout_s=30)
    if made.exit_code != 0:
        raise TransferError(
            f"secrets: cannot make {folder} on {machine.name}",
            details=made.last_words,
            resolution="check the owner there",
        )
    with world.scratch("douse-secrets-", in_memory=True) as scratch:
        path = scratch / name
        write_atomically(path, content, SECRET_MODE)
        target = posixpath.join(folder, path.name)
        machine.put(path, target)
    return target
