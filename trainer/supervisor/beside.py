"""What every process beside the trainer does: it lets everything else go first, and ends with the supervisor."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import IO

import psutil

from trainer.supervisor.status import read_status


class Parent:
    """The supervisor, as its child sees it: it holds the other end of a pipe."""

    def __init__(self, pipe: IO[bytes], output: Path) -> None:
        """Take the pipe, and the run's output folder."""
        self._pipe, self._output, self._is_gone = pipe, output, False

    def is_over(self, wait_s: float) -> bool:
        """Wait so many seconds at most; return whether the supervisor is gone, and no trainer works on without it."""
        if self._is_gone:
            time.sleep(wait_s)
        else:
            ready, _, _ = select.select([self._pipe], [], [], wait_s)
            self._is_gone = bool(ready) and self._pipe.read(1) == b""
        return self._is_gone and read_status(self._output).state != "running"


def step_aside() -> None:
    """Let everything else on this machine go first."""
    os.nice(19)
    if hasattr(psutil, "IOPRIO_CLASS_IDLE"):
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
