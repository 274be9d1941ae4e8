"""The runner's process tree, for the faults that kill it at the worst moment."""

from __future__ import annotations

import os

import psutil

from runner.errors import UsageError


class RunnerRefusedError(UsageError):
    """The process may not be killed: there is none, or it is ours."""


class RunnerProcess:
    """The process tree that ``kill_runner@…`` ends; nothing outside it is ever touched."""

    def __init__(self) -> None:
        """Know of no runner."""
        self._root: psutil.Process | None = None

    def register(self, pid: int) -> None:
        """Remember the runner.

        Raises:
            RunnerRefusedError: If there is no such process, or this server is in its tree.
        """
        own = psutil.Process(os.getpid())
        if pid <= 1 or pid in {own.pid, *(parent.pid for parent in own.parents())}:
            raise RunnerRefusedError(
                f"faults: process {pid} holds this server", resolution="start the emulators outside the runner"
            )
        try:
            self._root = psutil.Process(pid)
        except psutil.NoSuchProcess as err:
            raise RunnerRefusedError(f"faults: no process {pid}", resolution="register a runner that runs") from err

    def kill(self) -> list[int]:
        """SIGKILL the runner and everything below it; return the process ids."""
        if self._root is None:
            return []
        try:
            tree = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
        killed = [process.pid for process in tree if _kill(process)]
        self._root = None
        return killed


def _kill(process: psutil.Process) -> bool:
    try:
        process.kill()  # checks the start time: a process id that was used again is left alone
    except psutil.NoSuchProcess:
        return False
    return True
