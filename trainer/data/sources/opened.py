"""A data file, opened: what it is by its first bytes, unpacked within bounds, its text as UTF-8."""

from __future__ import annotations

import bz2
import codecs
import gzip
import importlib
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from trainer.data.sources.kinds import SNIFFED_BYTES, refuse_other_kinds
from trainer.errors import DataError

MOST_UNPACKED_BYTES = 2**30
"""Bytes that any packed file may unpack to."""
MOST_UNPACKED_RATIO = 200
"""How many times its own size a packed file may unpack to beyond that. Source: JSON of chats packs to a fifth up to a
fortieth (gzip -9 and zstd -19 over the examples of this project); a bomb packs a thousandfold and more."""
PACKED_SUFFIXES = (".gz", ".zst", ".zstd", ".bz2", ".xz")
_BLOCK = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def plain_name(path: Path) -> str:
    """Return a file's name in lower case, without the ending of a packer."""
    name = path.name.lower()
    for suffix in PACKED_SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def check_readable(path: Path, key: str) -> None:
    """Refuse what is no file.

    Args:
        path: The file.
        key: Recipe key that named it, for the hints.

    Raises:
        DataError: If it is missing, a folder, a pipe or a device.
    """
    if path.is_dir():
        raise DataError(
            f"data: {path} is a folder, not a file",
            resolution=f"set {key} to a file in it, such as {path / 'train.jsonl'}; "
            "the address of a data set of the Hub is hf://datasets/<org>/<name>",
        )
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"data: {path} is a pipe or a device, not a file", resolution=f"set {key} to a file")
        with path.open("rb"):
            pass
    except FileNotFoundError as err:
        raise DataError(f"data: {path} does not exist", resolution=f"set {key} to an existing .jsonl file") from err
    except OSError as err:
        raise DataError(
            f"data: cannot read {path}: {err.strerror}", resolution=f"make the file of {key} readable"
        ) from err


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """Open a data file and yield its text as UTF-8 bytes, whatever packs it.

    Raises:
        DataError: If it is of a kind that holds no samples, unpacks to too much, or is cut or damaged; also while it is
            read.
    """
    with path.open("rb") as raw:
        packer = _packer(raw)
        with raw if packer is None else packer(raw) as file:
            bounded = _Bounded(path, file, None if packer is None else path.stat().st_size)
            text = io.BufferedReader(bounded, _BLOCK)
            head = text.peek(SNIFFED_BYTES)[:SNIFFED_BYTES]
            mark, encoding = next(((mark, name) for mark, name in _MARKS if head.startswith(mark)), (b"", "utf-8"))
            if encoding == "utf-8":
                refuse_other_kinds(path, head.removeprefix(mark))
            text.read(len(mark))
            recoded = text if encoding == "utf-8" else io.BufferedReader(_Recoded(path, text, encoding), _BLOCK)
            yield recoded  # type: ignore[misc]


def _packer(raw: io.BufferedReader) -> Callable[[io.BufferedReader], io.BufferedIOBase] | None:
    """Return what unpacks a file, by its first bytes, or ``None``: a packed file is often renamed, and the reverse."""
    head = raw.read(8)
    raw.seek(0)
    packers: dict[bytes, Callable[[io.BufferedReader], io.BufferedIOBase]] = {
        b"\x1f\x8b": _gzip,
        b"\x28\xb5\x2f\xfd": _zstd,
        b"BZh": bz2.BZ2File,
        b"\xfd7zXZ\x00": lzma.LZMAFile,
    }
    return next((packer for magic, packer in packers.items() if head.startswith(magic)), None)


def _gzip(file: io.BufferedReader) -> io.BufferedIOBase:
    return gzip.GzipFile(fileobj=file)


def _zstd(file: io.BufferedReader) -> io.BufferedIOBase:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        zstd = importlib.import_module(name)
    except ImportError as err:
        raise DataError(
            f"data: a zstd file is read by the package {name}, which is not installed here",
            resolution="unpack the file with `zstd -d`, or start with `make`, which installs the package",
        ) from err
    unpacked: io.BufferedIOBase = zstd.ZstdFile(file)
    return unpacked


class _Bounded(io.RawIOBase):
    """The bytes of a file, with an end to what a packed one may become, and its damage in words."""

    def __init__(self, path: Path, file: io.BufferedIOBase, packed_bytes: int | None) -> None:
        self._path, self._file, self._read = path, file, 0
        self._most = None if packed_bytes is None else max(MOST_UNPACKED_BYTES, MOST_UNPACKED_RATIO * packed_bytes)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._file.read(len(buffer))
        except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as err:
            raise self._damaged(err) from err
        except Exception as err:
            if type(err).__name__ != "ZstdError":  # its class is at hand only where its package is
                raise
            raise self._damaged(err) from err
        self._read += len(data)
        if self._most is not None and self._read > self._most:
            raise DataError(
                f"data: {self._path} unpacks to more than {self._most / 2**30:.1f} GiB, far more than text would",
                resolution="look at what is in it; if that is right, unpack it, and name the unpacked file",
            )
        buffer[: len(data)] = data
        return len(data)

    def _damaged(self, err: Exception) -> DataError:
        if self._most is None:
            why, remedy = f"cannot be read: {err}", "check the disk, and copy the file anew"
        else:
            why, remedy = f"is cut or damaged: it cannot be unpacked ({err})", "download or pack the file anew"
        return DataError(f"data: {self._path} {why}", resolution=remedy)


class _Recoded(io.RawIOBase):
    """Text in another encoding, as UTF-8."""

    def __init__(self, path: Path, file: IO[bytes], encoding: str) -> None:
        self._path, self._file, self._name, self._left = path, file, encoding.upper(), b""
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            data = self._file.read(_BLOCK)
            try:
                self._left = self._decoder.decode(data, final=not data).encode("utf-8", "surrogatepass")
            except UnicodeDecodeError as err:
                raise DataError(
                    f"data: {self._path} begins with the mark of {self._name} and is not {self._name} text: "
                    f"{err.reason}",
                    resolution="save the file as UTF-8",
                ) from err
            if not data:
                break
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size
