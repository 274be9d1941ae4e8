"""How a fault of the runner, or of the lease on its machine, is brought about: who gets which signal."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import psutil

from runner.rehearsal.faults import Action

TERRAFORM = frozenset({"terraform", "tofu"})
LISTENER = "runner.rehearsal.listener"
LEASE = "douse_lease.py"
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


def kill_lease(run_id: str) -> bool:
    """SIGKILL the daemon of a run's lease, which is a process of this machine too; return whether there was one."""
    found = [one for one in psutil.process_iter() if _keeps_lease(one, run_id)]
    for one in found:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    return bool(found)


def _keeps_lease(one: psutil.Process, run_id: str) -> bool:
    with suppress(psutil.Error):
        program, verb, prefix = ["", "", "", *one.cmdline()][-3:]
        return (Path(program).name, verb, Path(prefix).name) == (LEASE, "run", run_id)
    return False


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
