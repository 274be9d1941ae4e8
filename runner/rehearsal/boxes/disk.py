"""A box's disk: an overlay over the shared tree, private to the box, and the package cache laid into it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from runner.rehearsal.boxes.host import BoxError, attempt, call

CACHE = "var/cache/rehearsal"
"""Where a box finds the shared package cache; its first boot links the user's cache folder there."""
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
    root = folder / "root"
    _overlay(name, (tree,), folder / "disk", root)
    for index, share in enumerate(shared):
        target = root / share.target
        target.mkdir(parents=True, exist_ok=True)
        if share.is_writable:
            _overlay(name, share.layers, folder / f"shared-{index}", target)
        else:
            call(["mount", "-o", "bind,ro", str(share.layers[0]), str(target)])
    return root


def _overlay(name: str, layers: tuple[Path, ...], private: Path, target: Path) -> None:
    upper, work = private / "upper", private / "work"
    for path in (upper, work, target):
        path.mkdir(parents=True, exist_ok=True)
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
            resolution=f"end what uses it and unmount it: umount {left[0]}",
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
