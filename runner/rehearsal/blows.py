"""How a fault of the runner is brought about: who gets which signal, and how long one looks for him."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import psutil

from runner.rehearsal.faults import Action

TERRAFORM = frozenset({"terraform", "tofu"})
LISTENER = "runner.rehearsal.listener"
BETWEEN_SIGNALS_S = 1.0


def strike(pid: int, action: Action) -> bool:
    """Send an action's signals; return whether whom they are meant for was there.

    Args:
        pid: The runner's, or that of the listener that started it.
        action: What happens.
    """
    doomed = _meant(pid, action.program)
    for number, word in enumerate(action.signals):
        if number:
            time.sleep(BETWEEN_SIGNALS_S)
        for one in doomed:
            with suppress(psutil.NoSuchProcess):
                one.send_signal(word)
    return bool(doomed)


def _meant(pid: int, program: str) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        below = root.children(recursive=True)
        if program == "everything":
            return [root, *below]
        if program == "terraform":
            return [one for one in below if _name(one) in TERRAFORM]
        is_listened_to = LISTENER in root.cmdline()
        if program == "listener" or not is_listened_to:
            return [root]
        return [one for one in below if one.ppid() == pid][:1]
    return []


def _name(one: psutil.Process) -> str:
    with suppress(psutil.Error):
        return Path(one.exe()).name
    return ""
