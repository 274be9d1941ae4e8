"""What a GGUF file says of its model and tokenizer; the weights stay on disk, never read.

The reader of llama.cpp's package takes a second for the fifty thousand tokens of a small model. So what it found is
kept in the user's cache, under the file's path, size and time of change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.errors import BaseModelError
from trainer.files import cache_folder, write_atomically

LEFT_OUT = ("tokenizer.ggml.scores",)
TENSORS = "tensors"
"""Key of the tensors' names."""
VERSION = 1


def read_header(path: Path) -> Mapping[str, Any]:
    """Return a GGUF file's metadata by key, and under ``tensors`` the names of its tensors.

    Raises:
        BaseModelError: If it is no whole GGUF file.
    """
    place = _place(path)
    with contextlib.suppress(OSError, ValueError):
        kept: dict[str, Any] = json.loads(place.read_bytes())
        return kept
    header = _read(path)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs a second each time
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, json.dumps(header).encode())
    return header


def _place(path: Path) -> Path:
    try:
        found = path.stat()
    except OSError as err:
        raise _broken(path, err) from err
    words = f"{VERSION}|{path.resolve()}|{found.st_size}|{found.st_mtime_ns}"
    return cache_folder() / "gguf" / f"{hashlib.sha256(words.encode()).hexdigest()[:24]}.json"


def _read(path: Path) -> dict[str, Any]:
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        header = {name: field.contents() for name, field in reader.fields.items() if name not in LEFT_OUT}
    except (OSError, ValueError, IndexError, KeyError) as err:
        raise _broken(path, err) from err
    return header | {TENSORS: [tensor.name for tensor in reader.tensors]}


def _broken(path: Path, err: Exception) -> BaseModelError:
    return BaseModelError(
        f"base model: {path} is not a whole GGUF file",
        details=str(err),
        resolution="fetch the file again and compare its size or checksum with the publisher's",
    )
