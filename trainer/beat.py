"""The trainer's word that training moves on: a file that it touches with each micro-batch and each evaluated batch."""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BEAT = "beat"
"""Name of the file in the output folder. It is there only while the training loop runs."""
STACKS = signal.SIGUSR1
"""The signal at which a trainer writes the stacks of its threads into its log, even while it hangs."""


class Beat:
    """Touches the file; nothing else is known of it here, and the supervisor judges how old it may become."""

    def __init__(self, output: Path) -> None:
        """Take the run's output folder."""
        self._path = output / BEAT

    def __call__(self) -> None:
        """Say that training moves on."""
        self._path.touch()

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Take the word back at the end: export and proof are no steps, and have no common measure."""
        try:
            yield
        finally:
            self._path.unlink(missing_ok=True)


def show_stacks_on_signal() -> None:
    """Write the stacks of all threads to stderr at ``STACKS``, without a hand of Python's: it may hang."""
    faulthandler.register(STACKS, all_threads=True, chain=False)
