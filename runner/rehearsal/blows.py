"""How a fault of the runner, or of the lease on its machine, is brought about: who gets which signal."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import psutil

from runner.emulation.boxes.names import tag_of
from runner.rehearsal.faults import Action
from runner.rehearsal.services import BOXES

TERRAFORM = frozenset({"terraform", "tofu"})
LISTENER = "runner.rehearsal.listener"
LEASE = "douse_lease.py"
LOGIN = "sshd: "
SSHD = "[listener]"
"""What sshd calls the process of a login, and what else is in the name of the one that takes new ones."""
NETWORKS = Path("/run/netns")


def strike(pid: int, action: Action) -> bool:
    """Send an action's signals; return whether whom they are meant for was there.

    Args:
        pid: The runner's, or that of the listener that started it.
        action: What happens.
    """
    doomed = _meant(pid, action.program)
    for number, word in enumerate(action.signals):
        if number:
            time.sleep(action.between_s)
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


def drop_logins(folder: Path) -> bool:
    """SIGKILL every login on the machines of a rehearsal; return whether there was one.

    Args:
        folder: That of the rehearsal.
    """
    networks = networks_of(folder)
    found = [one for one in psutil.process_iter() if _is_login(one) and network_of(one.pid) in networks]
    for one in found:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    return bool(found)


def networks_of(folder: Path) -> set[int]:
    """Return the networks of the machines of a rehearsal, each by its number in the kernel."""
    tag = tag_of(folder / BOXES, folder.name)
    return {path.stat().st_ino for path in NETWORKS.glob(f"douse-{tag}-*")}


def network_of(pid: int) -> int:
    """Return the network of a process, by its number in the kernel; 0 for one that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    return 0


def _is_login(one: psutil.Process) -> bool:
    with suppress(psutil.Error):
        words = " ".join(one.cmdline())
        return words.startswith(LOGIN) and SSHD not in words
    return False


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
