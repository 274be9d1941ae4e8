"""What became of a run's notices, a line for each receiver: ``logs/notices.log``."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from runner.run.host_words import one_line
from runner.world import Entry

LOG_NAME = "notices.log"


def note_delivery(logs: Entry, now: datetime, line: str) -> None:
    """Write a line into the log of notices; a full disk takes none, and a folder that is gone is not made again.

    Args:
        logs: The run's folder of logs.
        now: The time.
        line: What became of a notice.
    """
    with suppress(OSError):
        (logs / LOG_NAME).append(f"{now.isoformat(timespec='seconds')} {one_line(line)}\n".encode())
