"""rclone's program: one request is one process, which ends with its answer. It starts nothing else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OWN_WILL = (
    "RCLONE_BACKUP_DIR",
    "RCLONE_CHECKSUM",
    "RCLONE_COMPARE_DEST",
    "RCLONE_COPY_DEST",
    "RCLONE_DELETE_",
    "RCLONE_DRY_RUN",
    "RCLONE_EXCLUDE",
    "RCLONE_FILES_FROM",
    "RCLONE_FILTER",
    "RCLONE_HASH_FILTER",
    "RCLONE_IGNORE_",
    "RCLONE_IMMUTABLE",
    "RCLONE_INCLUDE",
    "RCLONE_INPLACE",
    "RCLONE_INTERACTIVE",
    "RCLONE_LOG_",
    "RCLONE_MAX_",
    "RCLONE_METADATA_",
    "RCLONE_MIN_",
    "RCLONE_NO_CHECK_DEST",
    "RCLONE_PARTIAL_SUFFIX",
    "RCLONE_PROGRESS",
    "RCLONE_QUIET",
    "RCLONE_SIZE_ONLY",
    "RCLONE_STATS",
    "RCLONE_SUFFIX",
    "RCLONE_SYSLOG",
    "RCLONE_UPDATE",
    "RCLONE_USE_JSON_LOG",
    "RCLONE_VERBOSE",
)
"""Beginnings of variables that would leave files out, let commands do nothing or hide what they say. What says where
the configuration is, opens it or tunes a remote stays."""


@dataclass(frozen=True)
class Answer:
    """What a request came to.

    Attributes:
        status: Exit status.
        stdout: What it printed.
        stderr: What it logged.
    """

    status: int
    stdout: str
    stderr: str


def without_rclones(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which rclone knows of no remote, and has no settings."""
    return {name: value for name, value in environ.items() if not name.startswith("RCLONE_")}


def ask(argv: Sequence[str], environ: Mapping[str, str] = os.environ, *, timeout_s: float) -> Answer:
    """Run the program to its end, in a session of its own so that Ctrl-C reaches only whoever waits for it.

    Args:
        argv: Program and arguments; no shell reads them.
        environ: Its variables, but for those that have a will of their own.
        timeout_s: Longest time it may take, in seconds.

    Raises:
        OSError: If it cannot be started.
        TimeoutError: If it did not end in time; it is gone.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(OWN_WILL)}
    process = subprocess.Popen(
        list(argv),
        env=kept,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    with process:
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except BaseException as err:
            process.kill()
            if isinstance(err, subprocess.TimeoutExpired):
                raise TimeoutError(f"no answer within {timeout_s:.0f} s") from err
            raise
    return Answer(process.returncode, stdout, stderr)
