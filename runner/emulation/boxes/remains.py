"""What dead yards leave: found by its name alone, and ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from itertools import pairwise
from pathlib import Path

import psutil

from runner.emulation.boxes.disk import MOUNTINFO, delete, marked_mounts, mounts_under
from runner.emulation.boxes.host import BoxError, attempt, below
from runner.emulation.boxes.names import tag_in
from runner.emulation.boxes.namespace_box import forget_machine, kill_process
from runner.emulation.boxes.network import interfaces, namespaces
from runner.emulation.boxes.registry import entries, strike_off, take_over

END_TIMEOUT_S = 10.0


def clean(folder: Path | None = None) -> list[str]:
    """End everything of yards whose owner is dead; a yard whose owner lives is left alone.

    Args:
        folder: The folder of one yard, or ``None`` for all.

    Returns:
        What was ended, by name.

    Raises:
        BoxError: If something could not be ended.
    """
    known = entries()
    tags = set(known)
    if folder is None:
        tags |= _tags_in_the_kernel()
    else:
        tags = {tag for tag in tags if known[tag] == folder.resolve()}
    ended = []
    for tag in sorted(tags):
        lock = take_over(tag)
        if lock is None:
            continue
        ended += demolish(tag, known.get(tag))
        strike_off(tag, lock)
    return ended


def demolish(tag: str, folder: Path | None) -> list[str]:
    """End everything that carries a yard's mark; return the names of what was there.

    Args:
        tag: The mark.
        folder: The yard's folder where it is known, else it is learnt from the mounts.
    """
    ended = _end_processes(tag, folder)
    if not _has_kernel_names():
        if folder is not None:
            shutil.rmtree(folder / "boxes", ignore_errors=True)
        return ended
    mounted = [path for source, path in marked_mounts() if tag_in(source) == tag]
    boxes = {_box_folder(path) for path in mounted} - {None}
    for link in interfaces():
        if tag_in(link) == tag and attempt(["ip", "link", "delete", link]):
            ended.append(link)
    for space in namespaces():
        if tag_in(space) == tag and attempt(["ip", "netns", "delete", space]):
            ended.append(space)
            forget_machine(space)
    for box in sorted(path for path in boxes if path is not None):
        ended += [str(path) for path in mounts_under(box)]
        delete(box)
    if folder is not None and (folder / "boxes").is_dir():
        delete(folder / "boxes")
    return ended


def _has_kernel_names() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0 and MOUNTINFO.exists()


def _tags_in_the_kernel() -> set[str]:
    if not _has_kernel_names():
        return set()
    names = [*interfaces(), *namespaces(), *(source for source, _ in marked_mounts())]
    return {tag for name in names if (tag := tag_in(name)) is not None}


def _box_folder(mount: Path) -> Path | None:
    """Return the folder of the box that a mount belongs to: ``…/boxes/<box>/root…``."""
    for path in (mount, *mount.parents):
        if path.name == "root" and path.parent.parent.name == "boxes":
            return path.parent
    return None


def _end_processes(tag: str, folder: Path | None) -> list[str]:
    """SIGKILL every process in a yard's namespaces, and every one of this machine that was started for it."""
    ended: set[str] = set()
    deadline = time.monotonic() + END_TIMEOUT_S
    while found := _processes(tag, folder):
        if time.monotonic() > deadline:
            raise BoxError(
                f"boxes: process {found[0].pid} does not exit",
                resolution=f"see it with `ps -fp {found[0].pid}`",
            )
        for process in found:
            ended.add(f"process {process.pid}")
            kill_process(process.pid)
        time.sleep(0.02)
    return sorted(ended)


def _processes(tag: str, folder: Path | None) -> list[psutil.Process]:
    spaces = _namespace_inodes(tag)
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if (
                _inode(f"/proc/{process.pid}/ns/net") in spaces
                or _is_started_for(process.cmdline(), tag, folder)
                or _is_at_home_in(process.environ().get("HOME", ""), folder)
                or _is_runner_of(process.cmdline(), folder)
            ):
                found += [*below(process.pid), process]
    return found


def _is_started_for(argv: list[str], tag: str, folder: Path | None) -> bool:
    """Return whether a command line is that of one of our children: systemd-nspawn, unshare, or sshd on loopback."""
    program = Path(argv[0]).name.split(":")[0] if argv else ""
    if program == "systemd-nspawn":
        return any(word.startswith(f"--machine=douse-{tag}-") for word in argv)
    if program == "sshd":
        return folder is not None and any(f"{folder}/boxes/" in word for word in argv)
    return False


def _is_runner_of(argv: list[str], folder: Path | None) -> bool:
    """Return whether a command line is that of the rehearsed runner, whose runs lie beside the yard."""
    return folder is not None and ("--runs-dir", str(folder.parent / "runs")) in pairwise(argv)


def _is_at_home_in(home: str, folder: Path | None) -> bool:
    """Return whether a process belongs to a login of a box on loopback."""
    return folder is not None and home.startswith(f"{folder}/boxes/")


def _namespace_inodes(tag: str) -> set[int]:
    if not _has_kernel_names():
        return set()
    found = (_inode(f"/run/netns/{name}") for name in namespaces() if tag_in(name) == tag)
    return {inode for inode in found if inode}


def _inode(path: str) -> int:
    try:
        return Path(path).stat().st_ino
    except OSError:
        return 0
