"""A box's disk: an overlay over the shared tree, private to the box, and the package cache laid into it."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from runner.emulation.boxes.host import BoxError, attempt, call

CACHE = "var/cache/rehearsal"
"""Where a box finds the shared package cache; its first boot links the user's cache folder there."""
MOST_DISK_BYTES = 100 * 2**30
FREE_SHARE = 0.9
MKFS_OPTIONS = ("-q", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0")
MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Shared:
    """A folder of this machine that a box sees.

    Attributes:
        layers: Folders to lay over one another, the topmost first; one alone is bound read-only.
        target: Path in the box, without the leading slash.
    """

    layers: tuple[Path, ...]
    target: str
    is_writable: bool = True


def mount_disk(folder: Path, tree: Path, name: str, shared: list[Shared]) -> Path:
    """Mount a box's disk and what is shared into it; return the root. ``name`` marks the mounts."""
    root, disk = folder / "root", folder / "disk"
    _mount_image(folder / "disk.img", disk)
    _overlay(name, (tree,), disk / "root", root)
    for index, share in enumerate(shared):
        target = root / share.target
        target.mkdir(parents=True, exist_ok=True)
        if share.is_writable:
            _overlay(name, share.layers, disk / f"shared-{index}", target)
        else:
            call(["mount", "-o", "bind,ro", str(share.layers[0]), str(target)])
    return root


def _mount_image(image: Path, disk: Path) -> None:
    """Mount a file system of the box's own, in a file that grows; it survives a kill, as a rented disk does.

    It is also quicker than an overlay on a large and busy disk: an environment of 16,000 links took 15 s there,
    and takes 2 s here (2026-11-21). Where loop devices are not allowed, the box's folder is its disk.
    """
    disk.mkdir(parents=True, exist_ok=True)
    if os.path.ismount(disk):
        return
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(min(MOST_DISK_BYTES, int(shutil.disk_usage(disk).free * FREE_SHARE)))
        if not attempt(["mkfs.ext4", *MKFS_OPTIONS, str(image)]):
            image.unlink()
            return
    attempt(["mount", "-o", "loop,noatime", str(image), str(disk)])


def _overlay(name: str, layers: tuple[Path, ...], private: Path, target: Path) -> None:
    upper, work = private / "upper", private / "work"
    for path in (upper, work, target):
        path.mkdir(parents=True, exist_ok=True)
    owner = layers[0].stat()  # the topmost folder says whose the merged one is
    os.chown(upper, owner.st_uid, owner.st_gid)
    upper.chmod(stat.S_IMODE(owner.st_mode))
    words = [str(path) for path in (*layers, upper, work)]
    if any(set(word) & set(":,\\") for word in words):
        raise BoxError(
            f"boxes: the folder {private} has a character in its path that a mount cannot take",
            resolution="use a folder without colon, comma and backslash in its path",
        )
    options = f"lowerdir={':'.join(words[:-2])},upperdir={upper},workdir={work}"
    call(["mount", "-t", "overlay", name, "-o", options, str(target)])


def unmount(folder: Path) -> None:
    """Unmount everything under a folder, the innermost first.

    Raises:
        BoxError: If something stays mounted; the folder must not be deleted then.
    """
    for path in reversed(mounts_under(folder)):
        attempt(["umount", str(path)]) or attempt(["umount", "--lazy", str(path)])
    if left := mounts_under(folder):
        raise BoxError(
            f"boxes: {left[0]} stays mounted",
            resolution=f"stop what uses it (`fuser -m {left[0]}`), then `umount {left[0]}`",
        )


def delete(folder: Path) -> None:
    """Delete a folder of which nothing is mounted any more."""
    unmount(folder)
    shutil.rmtree(folder, ignore_errors=True)


def mounts_under(folder: Path) -> list[Path]:
    """Return the mount points under a folder, in the order in which they were mounted."""
    inside = f"{folder.resolve()}/"
    return [path for _, path in _mounts() if f"{path}/".startswith(inside)]


def marked_mounts() -> list[tuple[str, Path]]:
    """Return the source's name and the mount point of all overlay mounts of this machine."""
    return _mounts("overlay")


def _mounts(kind: str | None = None) -> list[tuple[str, Path]]:
    found = []
    for line in MOUNTINFO.read_text().splitlines():
        left, _, right = line.partition(" - ")
        system, source = right.split(" ")[:2]
        if kind in (None, system):
            found.append((source, Path(_unescape(left.split(" ")[4]))))
    return found


def _unescape(text: str) -> str:
    """Return a path as it is; the kernel writes space, tab, newline and backslash in octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
