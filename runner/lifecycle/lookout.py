"""Looking at a run's cloud while Terraform works, so that the receipt knows when a machine came and when it went."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runner.adapters.background import beside
from runner.clouds.registry import open_cloud
from runner.context import Context
from runner.errors import RunnerError
from runner.safety.looks import Looks
from runner.world import Event

LOOK_S = 2.0
"""From the beginning of a look to that of the next, at least."""
SHARE = 1 / 2
"""Of the time, which looks take at most: where requests are paced, Terraform has turns too, which rents meanwhile."""
PATIENCE_S = 10.0
"""How long the end of a block waits for a look that goes on."""


def open_looks(ctx: Context) -> Looks | None:
    """Return the run's view of its cloud; ``None`` where nothing is rented, or the account cannot be opened."""
    if not ctx.environment.bills:
        return None
    try:
        return Looks(ctx.run, open_cloud(ctx.environment.name, ctx.world))
    except RunnerError:
        return None  # whoever rents or terminates says why


@contextmanager
def until_shown(ctx: Context) -> Iterator[None]:
    """Look for the run's machine beside the block, until a look shows one."""
    looks = open_looks(ctx)
    with _looking(ctx, looks, lambda: looks is not None and looks.shows_machine):
        yield


@contextmanager
def until_over(ctx: Context, looks: Looks | None) -> Iterator[None]:
    """Look for the run's machines beside the block, once at least, and as long as there is one."""
    with _looking(ctx, looks, lambda: looks is not None and not looks.shows_machine):
        yield


@contextmanager
def _looking(ctx: Context, looks: Looks | None, is_enough: Callable[[], bool]) -> Iterator[None]:
    if looks is None:
        yield
        return

    def watch(over: Event) -> None:
        while True:
            began_s = ctx.world.monotonic_s()
            _glance(looks)
            took_s = ctx.world.monotonic_s() - began_s
            if is_enough() or over.wait(max(LOOK_S, took_s / SHARE) - took_s):
                return

    with beside(ctx.world, watch, name="lookout", patience_s=PATIENCE_S, is_urgent=ctx.stop.impatience()):
        yield


def _glance(looks: Looks) -> None:
    """Look; a cloud that does not answer now is looked at again, by whoever has to."""
    try:
        looks.look()
    except RunnerError:
        return
