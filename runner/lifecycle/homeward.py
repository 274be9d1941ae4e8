"""Checkpoints on their way home while training goes on, where no store takes them.

A machine that vanishes takes its disk along. As long as a runner follows a run whose machine knows no store, each
complete checkpoint comes home over a connection of its own, verified; a resumed run goes on from there. A store that
only this machine reaches gets them from here (``onward``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from runner.adapters.background import beside
from runner.adapters.machine import Machine
from runner.adapters.process import ToolCancelledError
from runner.context import Context
from runner.errors import ConnectionLostError, TransferError
from runner.lifecycle.fetching import Fetch, bring_checkpoints, complete_names
from runner.lifecycle.onward import Onward, going_on
from runner.run.models import Box, Host
from runner.store import arming
from runner.world import Bell, Event

LOOK_S = 9.0
"""How long to wait for word of a new checkpoint before looking anyway."""
REST_S = 1.0
"""Least pause between two looks: a machine may send word without end."""
LONGEST_REST_S = 600.0
"""Longest pause after tries that brought nothing whole: what came of each, until the disk here was full, is billed."""
PATIENCE_S = 20.0


@contextlib.contextmanager
def coming_home(ctx: Context, host: Host) -> Iterator[Callable[[], None]]:
    """Bring the newest complete checkpoint home as long as the block goes on; after a block without error none is kept.

    Nothing happens where the machine brings them to a store itself, or is this one. A failure is shown and costs
    nothing else: the block goes on.

    Yields:
        What to call when a checkpoint has been saved: it is looked for at once, and not at the next look.
    """
    if host.is_this_machine or arming.is_armed(ctx.run_file):
        yield lambda: None
        return
    with going_on(ctx, host) as onward:
        bell, is_urgent = ctx.world.bell(), ctx.stop.impatience()
        homeward = _Homeward(ctx, host, onward, bell)
        with beside(
            ctx.world, homeward.go_on, name="checkpoints", patience_s=PATIENCE_S, is_urgent=is_urgent, bell=bell
        ):
            yield bell.ring
    if not ctx.run_file.checkpointing.bring_home:
        homeward.forget_all()


class _Homeward:
    """Knows what it has brought, so that it removes nothing else."""

    def __init__(self, ctx: Context, host: Host, onward: Onward | None, bell: Bell) -> None:
        self._ctx, self._host, self._onward, self._bell = ctx, host, onward, bell
        self._box: Box | None = None
        self._newest, self._vain_tries = "", 0
        self._brought: set[str] = set()
        self._shown = ""

    def go_on(self, over: Event) -> None:
        """Look again and again until it is over, by one connection for as long as it holds."""
        machine = self._ctx.machine(self._host)
        try:
            while not self._is_over(over):
                try:
                    self._look(machine, over)
                except ToolCancelledError:
                    return
                except ConnectionLostError:
                    machine.close()  # who follows the run reports it
                except (TransferError, OSError) as err:
                    machine.close()
                    self._show(f"{err}; the checkpoint stays on the machine for now")
        finally:
            machine.close()

    def _is_over(self, over: Event) -> bool:
        """Wait for the next look; return whether there is none."""
        if not over.wait(self._rest_s()):
            self._bell.wait(LOOK_S)
        return over.is_set()

    def _rest_s(self) -> float:
        """Return the pause before the next look: twice as long after each try to fetch that came to nothing."""
        return REST_S if self._vain_tries == 0 else min(LONGEST_REST_S, LOOK_S * 2 ** min(self._vain_tries, 10))

    def _look(self, machine: Machine, over: Event) -> None:
        """Bring the newest checkpoint, and the best one, unless they are here."""
        self._box = self._box or self._ctx.box(self._host, machine)
        newest = next(complete_names(machine, self._box), "")
        if newest in ("", self._newest):
            return
        self._vain_tries += 1
        damaged = self._bring(Fetch(self._ctx, machine, is_over=over.is_set), self._box)
        self._newest, self._vain_tries = newest, 0
        if damaged is not None:
            raise damaged

    def _bring(self, fetch: Fetch, box: Box) -> TransferError | None:
        before = set(self._ctx.world.disk.names(self._ctx.run.checkpoints))
        came, damaged = bring_checkpoints(self._ctx, fetch, box)
        if not came:  # what came before is all there is
            return damaged
        kept = {name.removeprefix("checkpoints/") for name in came}
        sending = {self._onward.sending} & self._brought if self._onward is not None else set()
        for name in self._brought - kept - sending:
            self._ctx.world.disk.remove_tree(self._ctx.run.checkpoints / name)
        self._brought = (self._brought | (kept - before)) & (kept | sending)
        if kept - before:
            self._show(f"came home: {', '.join(sorted(kept))}")
            if self._onward is not None:
                self._onward.bell.ring()
        return damaged

    def forget_all(self) -> None:
        """Remove what was brought: the run has ended well, and nobody goes on from there."""
        disk, folder = self._ctx.world.disk, self._ctx.run.checkpoints
        for name in self._brought:
            disk.remove_tree(folder / name)
        if not disk.names(folder):
            disk.remove_tree(folder)

    def _show(self, words: str) -> None:
        if words != self._shown:
            self._shown = words
            self._ctx.view.line(words)
