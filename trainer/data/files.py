"""Read a file of samples: its bytes become rows (``sources``), and these become samples (``rows``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.data.rows import Format, RawSample, format_of, sample_of
from trainer.data.sources.reader import read_blocks
from trainer.data.sources.row import FORMAT_HELP, BadRow
from trainer.errors import DataError
from trainer.files import sha256_of_file


@dataclass(frozen=True)
class SampleFile:
    """All samples of one file, their format and the file's SHA-256."""

    path: Path
    format: Format
    sha256: str
    samples: tuple[RawSample, ...]


def read_samples(path: Path, key: str, wanted: str = "auto", ignored: frozenset[str] = frozenset()) -> SampleFile:
    """Read and check every line of a file.

    Args:
        path: The file.
        key: Recipe key that named it, for the hints.
        wanted: A format's name, or ``auto``: then the first sample decides for the whole file.
        ignored: Keys that are left out on purpose.

    Raises:
        DataError: On the first line that cannot be used, or if the file is missing, empty or a folder.
    """
    found: Format | None = None
    samples: list[RawSample] = []
    for row in (row for block in read_blocks(path, key) for row in block.rows()):
        if isinstance(row, BadRow):
            raise DataError(f"data: {row.path}:{row.number} {row.problem}", resolution=row.resolution)
        layout = format_of(row, wanted)
        if found is not None and layout != found:
            raise row.refused(
                f"is in the format {layout}, but the lines before are {found}", "keep one format in a file"
            )
        found = layout
        samples.append(sample_of(row, layout, ignored))
    if found is None:
        raise DataError(f"data: {path} holds no sample", resolution=FORMAT_HELP)
    return SampleFile(path, found, sha256_of_file(path), tuple(samples))
