"""What the names of files say: which belong to a checkpoint, and which are still being written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

CHECKPOINT = re.compile(r"checkpoint-[0-9]{1,12}")
"""Digits of ASCII, and no more than a number of steps has: `int` refuses others that `str.isdigit` takes."""


def split_names(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the plain files, and the names of the checkpoints' folders."""
    plain: list[str] = []
    checkpoints: dict[str, None] = {}
    for name in names:
        parts = PurePosixPath(name).parts
        depth = next((index for index, part in enumerate(parts[:-1]) if is_checkpoint(part)), None)
        if depth is None:
            plain.append(name)
        else:
            checkpoints["/".join(parts[: depth + 1])] = None
    return plain, list(checkpoints)


def is_checkpoint(part: str) -> bool:
    """Return whether a folder's name is that of a checkpoint."""
    return CHECKPOINT.fullmatch(part) is not None


def step_of(checkpoint: str) -> int:
    """Return the step in a checkpoint's name."""
    return int(checkpoint.rsplit("-", 1)[1])


def local_files(folder: Path) -> list[str]:
    """Return all files of a folder but hidden ones and those in a ``.part``: they are being written."""
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return [name.as_posix() for name in names if not any(_is_unfinished(part) for part in name.parts)]


def _is_unfinished(part: str) -> bool:
    return part.startswith(".") or part.endswith(".part")
