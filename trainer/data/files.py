"""Read a file of samples: its bytes become rows (``sources``), and these become samples (``rows``)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from trainer.data.rows import Format, RawSample, format_of, sample_of
from trainer.data.sources.json_lines import read_json_lines
from trainer.data.sources.row import FORMAT_HELP
from trainer.errors import DataError


@dataclass(frozen=True)
class SampleFile:
    """All samples of one file, their format and the file's SHA-256."""

    path: Path
    format: Format
    sha256: str
    samples: tuple[RawSample, ...]


def read_samples(path: Path, key: str, wanted: str = "auto") -> SampleFile:
    """Read and check every line of a file.

    Args:
        path: The file.
        key: Recipe key that named it, for the hints.
        wanted: A format's name, or ``auto``: then the first sample decides for the whole file.

    Raises:
        DataError: On the first line that cannot be used, or if the file is missing, empty or a folder.
    """
    content = _read_bytes(path, key)
    found: Format | None = None
    samples: list[RawSample] = []
    for row in read_json_lines(path, content):
        layout = format_of(row, wanted)
        if found is not None and layout != found:
            raise row.refused(
                f"is in the format {layout}, but the lines before are {found}", "keep one format in a file"
            )
        found = layout
        samples.append(sample_of(row, layout))
    if found is None:
        raise DataError(f"data: {path} holds no sample", resolution=FORMAT_HELP)
    return SampleFile(path, found, hashlib.sha256(content).hexdigest(), tuple(samples))


def _read_bytes(path: Path, key: str) -> bytes:
    if path.is_dir():
        raise DataError(
            f"data: {path} is a folder, not a file",
            resolution=f"set {key} to a file in it, such as {path / 'train.jsonl'}",
        )
    try:
        return path.read_bytes()
    except FileNotFoundError as err:
        raise DataError(f"data: {path} does not exist", resolution=f"set {key} to an existing .jsonl file") from err
    except OSError as err:
        raise DataError(
            f"data: cannot read {path}: {err.strerror}", resolution=f"make the file of {key} readable"
        ) from err
