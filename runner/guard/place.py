"""Which guard watches over a run: the one that holds its lock. It lies outside ``runs/``, which may be deleted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runner.errors import ToolError
from runner.world import LockedError, World
from trainer.files import cache_folder

PATIENCE_S = 5.0
"""How long a guard may take to end by itself, and once more after SIGTERM."""
POLL_S = 0.05


def living_guard(run_id: str, world: World) -> int | None:
    """Return the process id of the guard that watches over a run, 0 where it has not signed yet, ``None`` for none."""
    return world.disk.lock_holder(lock_of(run_id, world))


def end_guard(run_id: str, world: World, *, ends_itself: bool = True) -> None:
    """End the guard of a run, if there is one: by itself, by SIGTERM, by SIGKILL. It has nothing to put in order.

    Args:
        run_id: The run.
        world: Signals, files and time.
        ends_itself: Whether it was let know that the run is over, so that it gets a moment for that.

    Raises:
        ToolError: If it lives on.
    """
    lock = lock_of(run_id, world)
    for number in (*([None] if ends_itself else []), signal.SIGTERM, signal.SIGKILL):
        pid = world.disk.lock_holder(lock)
        if pid and number is not None:
            world.signal(pid, number)
        deadline_s = world.monotonic_s() + PATIENCE_S
        while world.disk.lock_holder(lock) is not None and world.monotonic_s() < deadline_s:
            world.sleep(POLL_S)
    pid = world.disk.lock_holder(lock)
    if pid is not None:
        raise _lives_on(run_id, pid)


@contextmanager
def only_guard(run_id: str, world: World) -> Iterator[None]:
    """Be the guard of a run as long as the block goes on; the one before ends.

    Raises:
        ToolError: If that one does not end.
        OSError: If there can be no lock.
    """
    path = lock_of(run_id, world)
    world.disk.make_folder(path.parent, mode=0o700)
    with ExitStack() as held:
        try:
            held.enter_context(world.disk.lock(path))
        except LockedError:
            end_guard(run_id, world, ends_itself=False)
            try:
                held.enter_context(world.disk.lock(path))
            except LockedError as err:
                raise _lives_on(run_id, living_guard(run_id, world) or 0) from err
        yield


def _lives_on(run_id: str, pid: int) -> ToolError:
    return ToolError(f"guard: the guard of {run_id} does not end (pid {pid})", resolution=f"run `kill -9 {pid}`")


def lock_of(run_id: str, world: World) -> Path:
    """Return the file whose lock makes a guard the guard of a run."""
    return cache_folder(world.environ) / "guards" / f"{run_id}.lock"
