"""Standard output and error of the processes of a life: what is printed is its own who prints it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

from runner.simulation.process import Process
from runner.simulation.stage import Stage


class Screen(io.TextIOBase):
    """A standard stream of every process: what is printed is its own who prints it."""

    def __init__(self, stage: Stage) -> None:
        """Take the stage, which knows whose turn it is."""
        self._stage = stage

    def writable(self) -> bool:
        """Return that it is."""
        return True

    def isatty(self) -> bool:
        """Return that nobody types here."""
        return False

    def write(self, text: str) -> int:
        """Keep what the process whose turn it is prints, unless it is gone."""
        owner = self._stage.turns.current.owner
        if isinstance(owner, Process) and not owner.is_dead:
            owner.printed.append(text)
        return len(text)


@contextlib.contextmanager
def screens(stage: Stage) -> Iterator[None]:
    """Let each process of a life print onto a screen of its own as long as the block goes on."""
    screen = Screen(stage)
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
        yield
