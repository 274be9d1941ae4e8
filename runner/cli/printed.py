"""The one door of all that is printed: a terminal that was closed, or a pipe that nobody reads, ends no run."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

ESCAPE = "\x1b"
"""What a bar is drawn with."""


class Printed:
    """All that this process prints; it never fails, whatever has become of the terminal, pipe or file behind it.

    Who looks on is not part of a run: a closed terminal, ``| head`` or a full disk behind ``> file`` must not end one.
    """

    def __init__(self) -> None:
        """Begin without a log: what nobody can see any more is dropped."""
        self.log: Callable[[], Path] | None = None

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Stand before standard output and standard error, for every ``print`` and every library."""
        streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (cast("TextIO", _Outlet(stream, self._keep)) for stream in streams)
        outlets = sys.stdout, sys.stderr
        try:
            yield
        finally:
            for outlet in outlets:
                outlet.flush()
            sys.stdout, sys.stderr = streams

    def _keep(self, text: str) -> None:
        """Write down in the log what could not be printed; a bar is not worth it, and the log's disk may be full."""
        if self.log is None or ESCAPE in text:
            return
        with contextlib.suppress(OSError):
            log = self.log()
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a", encoding="utf-8") as file:
                file.write(text)


class _Outlet(io.TextIOBase):
    """A standard stream that takes everything; from its first failure on it is closed, and another keeps the text.

    Each line is flushed, so that no more than one is under way when the stream fails, and the log gets that one too.
    """

    def __init__(self, stream: TextIO | None, keep: Callable[[str], None]) -> None:
        self._stream, self._keep = stream, keep  # a process that is started with `>&-` has no stream at all
        self._under_way = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._attempted(lambda stream: stream.isatty()) or False

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def write(self, text: str) -> int:
        try:
            self._attempted(lambda stream: stream.write(text))
        except UnicodeEncodeError:  # the terminal's encoding lacks a letter
            return self.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
        self._under_way += text
        if self._stream is None or "\n" in text:
            self.flush()
        return len(text)

    def flush(self) -> None:
        self._attempted(lambda stream: stream.flush())
        if self._stream is None and self._under_way:
            self._keep(self._under_way)
        self._under_way = ""

    def _attempted(self, action: Callable[[TextIO], Any]) -> Any:
        """Do something with the stream, and return what comes of it: ``None`` where it cannot be used."""
        if self._stream is None:
            return None
        try:
            return action(self._stream)
        except UnicodeEncodeError:
            raise
        except (OSError, ValueError):  # ValueError: it was closed
            self._close()
            return None

    def _close(self) -> None:
        """Use the stream no more. Python flushes its rest when it ends, and a failure then would be the exit status."""
        stream, self._stream = self._stream, None
        with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), cast("TextIO", stream).fileno())
