"""A disk that takes no more: what the libraries raise then, as an error that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from trainer.errors import TrainingError

REFUSALS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}
"""Numbers of the errors with which a disk refuses to be written to."""
TORCH_WRITER = ("PytorchStreamWriter", "inline_container", "basic_ios::clear")
"""What torch names in the ``RuntimeError`` of a write that failed; it keeps no number."""
SAFETENSORS_WRITER = ("I/O error", "os error", "IoError")


@contextmanager
def write_errors_explained() -> Iterator[None]:
    """Turn a write that failed into an error that says what to do; other exceptions go through."""
    try:
        yield
    except OSError as err:
        if err.errno not in REFUSALS:
            raise
        raise _cannot_write(err, err.filename) from err
    except (RuntimeError, SafetensorError) as err:
        marks = SAFETENSORS_WRITER if isinstance(err, SafetensorError) else TORCH_WRITER
        if not any(mark in str(err) for mark in marks):
            raise
        raise _cannot_write(err, None) from err


def _cannot_write(err: Exception, name: str | None) -> TrainingError:
    words = err.strerror if isinstance(err, OSError) else None
    return TrainingError(
        f"train: cannot write {name or 'what the run makes'}: {words or str(err).splitlines()[0]}",
        details=str(err),
        resolution="make room (`df -h`), or check who owns the folder, then `make resume`: whole checkpoints are good",
    )
