"""A program at the other end of an SSH channel, read to its end; it may write for ever, and is not kept for ever."""

from __future__ import annotations

import paramiko

from runner.adapters.process import POLL_S, Cancel, ToolCancelledError, ToolTimeoutError
from runner.run.models import Completed
from runner.world import World

STREAM_BYTES = 1 << 20
"""The most that is kept of each stream of a program."""
READ_BYTES = 1 << 16


class _Stream:
    """What a program writes, as far as it is kept."""

    def __init__(self) -> None:
        self._kept, self._cut_bytes = bytearray(), 0

    def add(self, chunk: bytes) -> None:
        """Take what came; what is over the limit is only counted."""
        room = STREAM_BYTES - len(self._kept)
        self._kept += chunk[:room]
        self._cut_bytes += max(0, len(chunk) - room)

    def __str__(self) -> str:
        """Return the text, which says what was cut."""
        cut = f"\n({self._cut_bytes} more bytes were cut)\n" if self._cut_bytes else ""
        return self._kept.decode(errors="replace") + cut


def until_end(
    world: World, channel: paramiko.Channel, argv: tuple[str, ...], timeout_s: float, cancel: Cancel | None
) -> Completed:
    """Return what a program wrote, once it has ended.

    Args:
        world: Its time.
        channel: Where the program runs.
        argv: What was run.
        timeout_s: Longest time it may take, in seconds.
        cancel: Asked several times a second, however much the program writes.

    Raises:
        ToolTimeoutError: If it did not end in time.
        ToolCancelledError: If ``cancel`` said yes.
        paramiko.SSHException: If the connection broke.
    """
    deadline, out, err = world.monotonic_s() + timeout_s, _Stream(), _Stream()
    channel.settimeout(POLL_S)
    while not _has_ended(channel, chunk := _receive(channel, out, err)):
        if cancel is not None and cancel():
            raise ToolCancelledError(f"ssh: {argv[0]} was stopped on request", resolution="continue with `make resume`")
        if world.monotonic_s() > deadline:
            raise ToolTimeoutError(
                f"ssh: {argv[0]} did not finish within {timeout_s:.0f} s",
                resolution="see what it does there: `make ssh`",
            )
        if chunk == b"":
            channel.status_event.wait(POLL_S)
    code = channel.recv_exit_status()
    if code == -1:  # the channel ended without a status: the connection, not the program
        raise paramiko.SSHException("the connection broke while a program ran")
    return Completed(argv, code, str(out), str(err))


def _has_ended(channel: paramiko.Channel, chunk: bytes | None) -> bool:
    """Return whether both streams are at their end and the program, or the connection, is as well."""
    is_silent = chunk == b"" and not channel.recv_stderr_ready()
    return is_silent and (channel.exit_status_ready() or channel.closed)


def _receive(channel: paramiko.Channel, out: _Stream, err: _Stream) -> bytes | None:
    """Read what is there of both streams; ``None`` when there is nothing yet, empty at the end of standard output."""
    if channel.recv_stderr_ready():
        err.add(channel.recv_stderr(STREAM_BYTES))
    try:
        chunk = channel.recv(READ_BYTES)
    except TimeoutError:
        return None
    out.add(chunk)
    return chunk
