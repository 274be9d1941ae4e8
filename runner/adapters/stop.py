"""Signals, turned into a wish that long waits look at: nothing is ever torn out of the middle of a write."""

from __future__ import annotations

import signal
from collections.abc import Callable

from runner.errors import RunInterruptedError
from runner.world import World

ORDERLY = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """What the user asked for by signals.

    Ctrl-C or SIGTERM once: an orderly stop. Twice: stop at once. SIGHUP: the runner leaves and the run goes on.
    """

    def __init__(self, world: World) -> None:
        """Begin with no wish."""
        self.count = 0
        self.leaving = False
        self._world, self._bell = world, world.bell()

    @property
    def requested(self) -> bool:
        """Whether the run has to stop."""
        return self.count > 0

    @property
    def urgent(self) -> bool:
        """Whether it has to stop at once, saving nothing more."""
        return self.count > 1

    def listen(self) -> None:
        """Take over the signals of this process."""
        self._world.on_signals(dict.fromkeys(ORDERLY, self._on_stop) | {signal.SIGHUP: self._on_hangup})

    def impatience(self) -> Callable[[], bool]:
        """Return what says whether the user has lost patience with what begins now.

        That is another signal since now, and the second one or more. Whoever asked twice before has been heard already.
        """
        before = max(self.count, 1)
        return lambda: self.count > before

    def check(self) -> None:
        """Raise if the run has to stop or the runner has to leave.

        Raises:
            RunInterruptedError: After any of the signals.
        """
        if self.wants_out():
            raise RunInterruptedError("run: stopped on request", resolution="continue with `make resume`")

    def wants_out(self) -> bool:
        """Return whether ``check`` would raise."""
        return self.leaving or self.requested

    def wait(self, seconds: float) -> None:
        """Sleep, but wake at once when a signal arrives."""
        if self.wants_out():
            seconds = min(seconds, 0.2)  # whoever waits on during an orderly stop still has to wait
        self._bell.wait(seconds)

    def _on_stop(self) -> None:
        self.count += 1
        self._bell.ring()

    def _on_hangup(self) -> None:
        self.leaving = True
        self._bell.ring()
