"""Stop requests: what SIGTERM and SIGINT do at each moment of a run.

While the optimizer works, a signal only sets a flag, and the trainer saves at the next micro-batch. Anywhere else
(loading, export, acceptance) nothing would be lost, so the signal ends the work at once. A second Ctrl-C ends the
process as it is.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from trainer.errors import InterruptedRunError

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Remembers that the run was asked to stop.

    Attributes:
        signal_name: Name of the signal that asked, or ``None``.
    """

    def __init__(self) -> None:
        """Start without a request."""
        self.signal_name: str | None = None
        self._deferred = False

    @property
    def is_requested(self) -> bool:
        """Return whether a signal came."""
        return self.signal_name is not None

    @contextmanager
    def installed(self) -> Iterator[StopRequest]:
        """Handle the signals of this process while the block runs."""
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let signals only set the flag while the block runs."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.signal_name = signal.Signals(number).name
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # asked twice is asked once
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends the process
        if not self._deferred:
            raise self.interruption(step=None)

    def interruption(self, step: int | None) -> InterruptedRunError:
        """Return the error that ends an interrupted run.

        Args:
            step: Optimizer steps in the newest checkpoint, or ``None`` outside training.
        """
        saved = "nothing new had to be saved" if step is None else f"saved at step {step}"
        return InterruptedRunError(
            f"train: interrupted by {self.signal_name}; {saved}", resolution="continue with `make resume`"
        )
