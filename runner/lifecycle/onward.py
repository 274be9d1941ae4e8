"""Checkpoints on their way from home to the store while training goes on, where the machine sends none itself.

A folder of this machine, and a remote of its rclone, are closed to the machine that trains. What has come home from
there goes on to the store, one checkpoint at a time, the newest first: a slow store skips those between.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from runner.adapters.background import beside
from runner.context import Context
from runner.errors import CloudError, TransferError
from runner.run.models import Host
from runner.store import arming
from runner.store.one_checkpoint import forget_stored, store_checkpoint
from runner.world import Event
from trainer.checkpoints.complete import list_finished

LOOK_S = 10.0
"""Seconds to the next look where nobody has said that something has come home."""
PATIENCE_S = 20.0


class Onward:
    """Knows what it has sent, so that it removes nothing else from there.

    Attributes:
        sending: Name of the checkpoint that is being read, which has to stay until then; empty without one.
        bell: To be rung when a checkpoint has come home; it is sent at once.
    """

    def __init__(self, ctx: Context) -> None:
        """Begin with nothing sent."""
        self.sending, self.bell = "", ctx.world.bell()
        self._ctx, self._shown, self._newest = ctx, "", ""
        self._begun: set[str] = set()

    def go_on(self, over: Event) -> None:
        """Look again and again until it is over; a failure is shown and costs nothing else."""
        while not self._is_over(over):
            try:
                self.look()
            except (TransferError, CloudError, OSError) as err:
                words = f"{err}; the checkpoint is here, and is sent again"
                if words != self._shown:
                    self._shown = words
                    self._ctx.view.line(words)

    def _is_over(self, over: Event) -> bool:
        """Wait for the next look; return whether there is none."""
        self.bell.wait(LOOK_S)
        return over.is_set()

    def look(self) -> None:
        """Send the newest checkpoint that came home, unless it is there, and remove older ones that are here no more.

        Raises:
            TransferError: If the store cannot be reached or refuses.
            CloudError: If the role may not be taken.
        """
        names = [path.name for path in list_finished(self._ctx.run.checkpoints)]
        if not names:
            return
        if names[0] != self._newest:
            self._send(names[0])
        for name in sorted(self._begun - set(names)):  # older ones: the newest is here, and there
            forget_stored(self._ctx, name)
            self._begun.remove(name)

    def _send(self, name: str) -> None:
        self.sending = name
        self._begun.add(name)
        try:
            store_checkpoint(self._ctx, name)
            self._newest = name
        finally:
            self.sending = ""


@contextlib.contextmanager
def going_on(ctx: Context, host: Host) -> Iterator[Onward | None]:
    """Bring what comes home to the store as long as the block goes on, where the machine cannot do that itself."""
    if host.is_this_machine or ctx.run_file.store.url is None or arming.is_armed(ctx.run_file):
        yield None
        return
    onward, is_urgent = Onward(ctx), ctx.stop.impatience()
    with beside(ctx.world, onward.go_on, name="onward", patience_s=PATIENCE_S, is_urgent=is_urgent, bell=onward.bell):
        yield onward
