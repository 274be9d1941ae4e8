"""A machine to train on, the same to the steps whether it is this one or one behind SSH."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runner.adapters import process
from runner.adapters.process import Cancel
from runner.errors import TransferError
from runner.run.events import LOOK_BYTES
from runner.run.models import Completed

LINK_FROM_BYTES = 16 << 20
"""Files of this size (base models) are hard-linked rather than copied."""


@dataclass(frozen=True)
class Allowance:
    """What may come home from a machine in one go, whatever it has there.

    Attributes:
        size_bytes: All files together.
        files: How many files and folders.
        depth: How many folders within one another.
    """

    size_bytes: int
    files: int = 10_000
    depth: int = 8


class Machine(Protocol):
    """What the steps need of a machine."""

    @property
    def name(self) -> str:
        """Return its name in messages."""

    @property
    def home(self) -> str:
        """Return the user's home folder there."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cancel: Cancel | None = None,
    ) -> Completed:
        """Run a program there to its end."""

    def put(self, source: Path, target: str, *, cancel: Cancel | None = None) -> None:
        """Bring a file or a folder there; a file appears as a whole. ``cancel`` is asked all the while."""

    def get(self, source: str, target: Path, allowance: Allowance, *, cancel: Cancel | None = None) -> None:
        """Fetch a file or a folder within an allowance; what is there under ``target`` already is overwritten."""

    def read_from(self, path: str, offset: int) -> bytes:
        """Return at most ``LOOK_BYTES`` of a file from a byte offset; nothing when it is not there."""

    def names(self, path: str) -> list[str]:
        """Return the names in a folder, sorted; none when it is not there."""

    def exists(self, path: str) -> bool:
        """Return whether there is a file or folder."""

    def remove_tree(self, path: str) -> None:
        """Remove a file or a folder with all it holds; nothing there is fine."""

    def free_bytes(self, path: str) -> int:
        """Return the free space where ``path`` is or will be."""

    def close(self) -> None:
        """Let the connection go."""


class LocalMachine:
    """This machine."""

    name = "this machine"

    @property
    def home(self) -> str:
        """Return the user's home folder."""
        return str(Path.home())

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cancel: Cancel | None = None,
    ) -> Completed:
        """Run a program to its end."""
        return process.run(argv, timeout_s=timeout_s, env=env, cancel=cancel)

    def put(self, source: Path, target: str, *, cancel: Cancel | None = None) -> None:
        """Bring a file or a folder to its place; a big file as a hard link where the disk allows it."""
        del cancel  # a copy on one disk ends by itself
        _copy(source, Path(target), link=True)

    def get(self, source: str, target: Path, allowance: Allowance, *, cancel: Cancel | None = None) -> None:
        """Copy a file or a folder; what this machine's own trainer made needs no limit."""
        del allowance, cancel
        _copy(Path(source), target, link=False)

    def read_from(self, path: str, offset: int) -> bytes:
        """Return at most ``LOOK_BYTES`` of a file from a byte offset."""
        try:
            with Path(path).open("rb") as file:
                file.seek(offset)
                return file.read(LOOK_BYTES)
        except FileNotFoundError:
            return b""

    def names(self, path: str) -> list[str]:
        """Return the names in a folder."""
        folder = Path(path)
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []

    def exists(self, path: str) -> bool:
        """Return whether there is a file or folder."""
        return Path(path).exists()

    def remove_tree(self, path: str) -> None:
        """Remove a file or a folder with all it holds."""
        place = Path(path)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)

    def free_bytes(self, path: str) -> int:
        """Return the free space where ``path`` is or will be."""
        place = Path(path)
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def close(self) -> None:
        """Do nothing: there is no connection."""


def _copy(source: Path, target: Path, *, link: bool) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for entry in sorted(source.iterdir()):
            _copy(entry, target / entry.name, link=link)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        if link and _linked(source, part):
            part.replace(target)
            part.unlink(missing_ok=True)  # two names of one file: replace leaves the source name
            return
        shutil.copy(source, part)
        part.replace(target)
    except OSError as err:
        raise TransferError(
            f"copy: cannot copy {source.name} to {target.parent}: {err.strerror}",
            resolution="free disk space, then run `make resume`",
        ) from err


def _linked(source: Path, target: Path) -> bool:
    if source.stat().st_size < LINK_FROM_BYTES:
        return False
    try:
        os.link(source, target)
    except OSError:
        return False  # another file system, or one without hard links
    return True
