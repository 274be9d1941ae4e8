"""``SHA256SUMS``: the list of a folder's files by which its receiver knows that it is whole. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from trainer.files import sha256_of_file, write_atomically

CHECKSUMS = "SHA256SUMS"
LINE = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>.+)")


class _ListError(ValueError):
    """The list itself is not what it should be."""


def write_checksums(folder: Path) -> None:
    """Write ``SHA256SUMS`` over all files of ``folder``, in the form ``sha256sum -c`` reads. Call it last."""
    _write(folder, {name: sha256_of_file(folder / name) for name in _files(folder)})


def list_again(folder: Path, names: Sequence[str]) -> None:
    """Write the lines of these files anew and leave all others as they are, so that no damage is signed.

    A list that is missing or broken stays so.
    """
    try:
        listed = _read(folder)
    except _ListError:
        return
    _write(folder, listed | {name: sha256_of_file(folder / name) for name in names})


def checksum_problems(folder: Path) -> list[str]:
    """Return the faults of a folder by its ``SHA256SUMS``, one line each; nothing when it is complete.

    A list that is missing, a file that it does not list, and a listed file that is not there are as wrong as a file
    that was changed: each of them is what a transfer that broke off leaves behind.
    """
    try:
        listed = _read(folder)
    except _ListError as err:
        return [str(err)]
    there = _files(folder)
    links = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink())
    changed = [name for name in there if name in listed and sha256_of_file(folder / name) != listed[name]]
    return [
        *(f"{name} is a link, not a file" for name in links),
        *(f"{name} does not match its checksum" for name in changed),
        *(f"{name} has no checksum" for name in there if name not in listed),
        *(f"{name} has a checksum and is missing" for name in sorted(listed) if name not in there),
    ]


def _read(folder: Path) -> dict[str, str]:
    """Return each listed file's SHA-256.

    Raises:
        _ListError: If there is no list, or one of its lines is not a file of this folder with a checksum.
    """
    try:
        lines = (folder / CHECKSUMS).read_bytes().decode().removesuffix("\n").split("\n")
    except FileNotFoundError as err:
        raise _ListError(f"{CHECKSUMS} is missing") from err
    except UnicodeDecodeError as err:
        raise _ListError(f"{CHECKSUMS} is not UTF-8 text") from err
    listed: dict[str, str] = {}
    for line in lines if lines != [""] else []:
        found = LINE.fullmatch(line)
        if found is None:
            raise _ListError(f"{CHECKSUMS} holds a line that is no checksum: {line[:80]!r}")
        name = found["name"]
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise _ListError(f"{CHECKSUMS} lists a file outside of the folder: {name[:80]!r}")
        if name in listed:
            raise _ListError(f"{CHECKSUMS} lists {name} twice")
        listed[name] = found["digest"]
    return listed


def _write(folder: Path, listed: dict[str, str]) -> None:
    lines = [f"{digest}  {name}\n" for name, digest in sorted(listed.items())]
    write_atomically(folder / CHECKSUMS, "".join(lines).encode())


def _files(folder: Path) -> list[str]:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return sorted(name for name in names if name != CHECKSUMS)
