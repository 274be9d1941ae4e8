"""What befalls a machine that trains: brought about by who rehearses, for no request to a cloud begins it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from runner.rehearsal.blows import drop_logins, kill_lease
from runner.rehearsal.emulators import Emulators
from runner.rehearsal.full_disk import fill_disks
from runner.rehearsal.services import BOXES

PARTITION_S = 30.0
"""Longer than who follows a run takes to see that its machine does not answer."""


def befall(action: str, emulators: Emulators, run_id: str, machines: Sequence[Mapping[str, Any]]) -> bool:
    """Let something happen to the machine of a run; return whether it did.

    Args:
        action: A name in ``INSIDE``.
        emulators: The emulated clouds.
        run_id: The run.
        machines: The run's machines, as the control API has them.
    """
    if action == "lease_killed":
        return kill_lease(run_id)
    if action == "disk_full_on_box":
        return fill_disks(emulators.folder / BOXES / "boxes")
    if action == "ssh_dropped":
        return drop_logins(emulators.folder)
    for machine in machines:
        if machine["is_billing"]:
            _act(action, emulators, f"/machines/{machine['id']}")
            return True
    return False


def _act(action: str, emulators: Emulators, machine: str) -> None:
    """Let the control API, where a machine has an address, do it."""
    if action not in ("network_partition", "network_lost"):
        does = "delete" if action == "box_deleted_after_store" else "restart"
        emulators.send(f"{machine}/{does}", {})
        return
    emulators.send(f"{machine}/partition", {"on": True})
    if action == "network_partition":
        time.sleep(PARTITION_S)
        emulators.send(f"{machine}/partition", {"on": False})
