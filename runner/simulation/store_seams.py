"""Where a simulated store enters: what processes and machines find in place of boto3."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runner.clouds.aws.api import open_aws, open_session
from runner.simulation.disk import MemoryDisk
from runner.simulation.store import KEY_ID, SECRET, SimulatedRole, SimulatedSession, SimulatedStore
from runner.simulation.store_client import Asker, open_simulated
from runner.simulation.uploads import Uploads
from trainer.checkpoints.places import open_place

if TYPE_CHECKING:
    from runner.simulation.boxes import SimulatedBox
    from runner.simulation.network import Network
    from runner.simulation.process import Process

USERS_KEYS = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}
"""In the user's own files, where boto3 finds them: in the environment they would name an account to rent from."""


def equip(process: Process, store: SimulatedStore, network: Network) -> None:
    """Let a process of the user's computer find the store, and the account that gives out its role."""

    def is_cut() -> bool:
        return process.boottime_s() < network.cut_until_s

    def need_room(path: Path) -> None:
        if isinstance(process.disk, MemoryDisk):
            process.disk.need_room(path)

    asker = Asker(process.name, process.sleep, is_cut, USERS_KEYS, need_room)
    role = SimulatedRole(store, process.sleep, is_cut)
    process.shared(open_place, lambda: partial(open_simulated, store, asker))
    process.shared(open_aws, lambda: lambda *_, **__: role)
    process.shared(open_session, lambda: lambda *_: SimulatedSession())


def uploads_of(store: SimulatedStore, root: Path) -> Callable[[SimulatedBox], Uploads]:
    """Return what lets a machine bring its work to the store; its files are laid out in a folder of its own."""
    return lambda box: Uploads(box, store, root / box.name)
