"""The runner's process tree, for the faults that kill it at the worst moment."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from runner.errors import UsageError

TERRAFORM = frozenset({"terraform", "tofu"})


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
        killed = [process.pid for process in self._tree() if _kill(process)]
        self._root = None
        return killed

    def kill_terraform(self) -> list[int]:
        """SIGKILL the Terraform that the runner has started, and nothing else; return the process ids."""
        return [process.pid for process in self._tree() if _name(process) in TERRAFORM and _kill(process)]

    def _tree(self) -> list[psutil.Process]:
        if self._root is None:
            return []
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _name(process: psutil.Process) -> str:
    """Return the name of a process's program; the system's own name of a process is cut at 15 characters."""
    try:
        return Path(process.exe()).name
    except psutil.Error:
        return ""


def _kill(process: psutil.Process) -> bool:
    try:
        process.kill()  # checks the start time: a process id that was used again is left alone
    except psutil.NoSuchProcess:
        return False
    return True
