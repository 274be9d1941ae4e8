"""What a file is, by its first bytes: the kinds that hold no samples are refused by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import DataError

SNIFFED_BYTES = 4096
"""How much of a file's beginning is looked at."""
COLUMNAR = rb"PAR1[^ -~\s]|ARROW1\x00\x00|\xff{4}.{3}\x00"
"""How Parquet, Arrow's file format and its stream format begin: the first words of a table's header may look alike."""


@dataclass(frozen=True)
class Kind:
    """A kind of file that is not text with samples.

    Attributes:
        begins: What its bytes begin with.
        name: What it is, after "is".
        remedy: What to do; ``{path}`` is the file.
    """

    begins: re.Pattern[bytes]
    name: str
    remedy: str


def _kind(begins: bytes, name: str, remedy: str) -> Kind:
    return Kind(re.compile(begins, re.DOTALL | re.IGNORECASE), name, remedy)


_TABLE = "export the sheet as CSV (UTF-8), and name that file"
_UNPACK = "unpack it, and name the file that is in it"
_COLUMNAR = "write the table as Parquet or JSON Lines, and name that file"
_SAMPLES = "name a file of samples: JSON Lines, JSON, CSV or TSV, also packed with gzip or zstd, or Parquet"
KINDS = (
    _kind(rb"version https://git-lfs\.github\.com/spec/", "a Git LFS pointer, not the file itself",
          "fetch the file with `git lfs pull` in its repository, then run the command again"),
    _kind(rb"(?:\.\./)*(?:\.git/annex/objects|/annex/objects)", "a git-annex pointer, not the file itself",
          "fetch the file with `git annex get` in its repository, then run the command again"),
    _kind(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", "an HTML page, not a file of samples",
          "download the file itself (on the Hub: the address with /resolve/ in place of /blob/)"),
    _kind(rb"\s*<\?xml", "an XML document", _SAMPLES),
    _kind(rb"%PDF-", "a PDF", _SAMPLES),
    _kind(rb"PK(?:\x03\x04|\x05\x06).*(?:\[Content_Types\]\.xml|xl/)", "an Excel workbook or another Office document",
          _TABLE),
    _kind(rb"PK(?:\x03\x04|\x05\x06)", "a zip archive", _UNPACK),
    _kind(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (such as .xls)", _TABLE),
    _kind(rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    _kind(rb"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    _kind(rb".{257}ustar", "a tar archive", _UNPACK),
    _kind(rb"SQLite format 3\x00", "an SQLite database", "export the table as CSV, and name that file"),
    _kind(COLUMNAR, "a packed Parquet or Arrow file", _UNPACK),
    _kind(rb"PARE[^ -~\s]", "an encrypted Parquet file", "write it without encryption, and name that file"),
    _kind(rb"FEA1\x00", "a Feather file of version 1", _COLUMNAR),
    _kind(rb"ORC[^ -~\s]", "an ORC file", _COLUMNAR),
    _kind(rb"Obj\x01", "an Avro file", _COLUMNAR),
    _kind(rb"\x89HDF\r\n", "an HDF5 file", _COLUMNAR),
    _kind(rb"GGUF", "a GGUF model, not a file of samples", _SAMPLES),
    _kind(rb"\x80[\x02-\x05]", "a Python pickle", _SAMPLES),
    _kind(rb"\x1f\x8b|\x28\xb5\x2f\xfd|BZh[1-9]1AY&SY|\xfd7zXZ\x00", "packed twice",
          "unpack it once, and name the file that is in it"),
    _kind(rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF.{4}WEBP", "an image", _SAMPLES),
)  # fmt: skip
"""Sources: the formats' own magic numbers; Git LFS: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md."""


def refuse_other_kinds(path: Path, head: bytes) -> None:
    """Refuse a file that is known to hold no samples, or that is no text.

    Args:
        path: The file, for the message.
        head: Its first bytes, unpacked.

    Raises:
        DataError: With the name of what it is.
    """
    for kind in KINDS:
        if kind.begins.match(head):
            raise DataError(f"data: {path} is {kind.name}", resolution=kind.remedy)
    if head[:4096:2].count(0) > len(head) // 4 or head[1:4096:2].count(0) > len(head) // 4:
        raise DataError(
            f"data: {path} seems to be UTF-16 text without a byte order mark", resolution="save the file as UTF-8"
        )
