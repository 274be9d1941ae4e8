"""Files on their way home from a machine that may list and send what it likes: into a fresh place, within limits."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko

from runner.adapters.machine import Allowance
from runner.adapters.read_ahead import ReadAhead
from runner.errors import TransferError, counted
from runner.run.host_words import is_plain_name, one_line
from runner.world import Disk


@contextmanager
def moved_in_when_whole(disk: Disk, target: Path) -> Iterator[Path]:
    """Give a fresh place beside ``target`` to receive into; after the block, what came there takes its place.

    A folder that is there already keeps what did not come; nothing of it changes if the block fails.

    Raises:
        TransferError: If what came is a folder where there is a file, or the other way round.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    _remove(disk, part)
    try:
        yield part
        _move_in(part, target)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as err:
        raise TransferError(
            f"ssh: a file that came home is a folder here, or the other way round: {err.filename}",
            resolution="move what is there away, then run `make collect` again",
        ) from err
    finally:
        _remove(disk, part)


class Receiver:
    """Receives one file or folder."""

    def __init__(self, sftp: paramiko.SFTPClient, allowance: Allowance) -> None:
        """Begin with nothing received."""
        self._sftp, self._allowance = sftp, allowance
        self._files_left, self._bytes_left = allowance.files, allowance.size_bytes

    def receive(self, source: str, place: Path) -> None:
        """Receive a file or folder into a place where nothing is.

        Raises:
            TransferError: If there is a link, a device or an odd name, or more than is allowed.
        """
        self._entry(source, self._sftp.lstat(source), place, depth=0)

    def _entry(self, source: str, attributes: paramiko.SFTPAttributes, place: Path, depth: int) -> None:
        mode = attributes.st_mode or 0
        if stat.S_ISDIR(mode):
            self._folder(source, place, depth)
        elif stat.S_ISREG(mode):
            self._file(source, attributes.st_size or 0, place)
        else:
            raise refused(source, "is neither a file nor a folder")

    def _folder(self, source: str, place: Path, depth: int) -> None:
        if depth == self._allowance.depth:
            raise refused(source, f"lies deeper than {counted(depth, 'folder')}")
        place.mkdir()
        for entry in listing(self._sftp, source, self._files_left):
            self._files_left -= 1
            self._entry(f"{source}/{entry.filename}", entry, place / entry.filename, depth + 1)

    def _file(self, source: str, size_bytes: int, place: Path) -> None:
        self._allow(source, size_bytes)
        with self._sftp.open(source, "rb") as there, place.open("xb") as here:
            for piece in ReadAhead(self._sftp, there, size_bytes).pieces():
                self._allow(source, len(piece))
                self._bytes_left -= len(piece)
                here.write(piece)

    def _allow(self, source: str, size_bytes: int) -> None:
        if size_bytes > self._bytes_left:
            raise refused(source, f"is more than the {self._allowance.size_bytes:,} bytes that may come home")


def listing(sftp: paramiko.SFTPClient, folder: str, most: int) -> list[paramiko.SFTPAttributes]:
    """Return the entries of a folder, sorted by name.

    Raises:
        TransferError: If one has a name that leads elsewhere, two have the same, or there are more than ``most``.
        FileNotFoundError: If there is no such folder.
    """
    found: dict[str, paramiko.SFTPAttributes] = {}
    for entry in sftp.listdir_iter(folder, read_aheads=1):
        if not is_plain_name(entry.filename) or entry.filename in found:
            raise refused(f"{folder}/{entry.filename}", "is no name for one file")
        if len(found) == most:
            raise refused(folder, f"holds more than the {counted(most, 'file')} that may come home")
        found[entry.filename] = entry
    return [found[name] for name in sorted(found)]


def refused(source: str, why: str) -> TransferError:
    """Return the error for something that a machine offers and nobody takes."""
    return TransferError(
        f"ssh: {one_line(source)[-200:]} {why}; it stays there", resolution="see what is there: `make ssh`"
    )


def _move_in(part: Path, target: Path) -> None:
    if not part.is_dir():
        part.replace(target)
        return
    target.mkdir(exist_ok=True)
    for entry in sorted(part.iterdir()):
        _move_in(entry, target / entry.name)


def _remove(disk: Disk, place: Path) -> None:
    (disk.remove_tree if disk.is_dir(place) else disk.remove)(place)
