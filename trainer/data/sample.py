"""One sample: turns of a chat, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from trainer.data.message import Message
from trainer.data.rows import Format, sample_of
from trainer.data.sources.row import Row

DIGEST_BYTES = 16


@dataclass(frozen=True)
class Sample:
    """One sample.

    Attributes:
        line: Its line in the file, from 1.
        messages: Its turns.
        path: The file.
        remarks: What was done to it, as words that follow "samples".
        unused: Keys that are harmless to leave out, and are.
    """

    line: int
    messages: tuple[Message, ...]
    path: str = field(default="", compare=False)
    remarks: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def read_sample(row: Row, layout: Format, ignored: frozenset[str] = frozenset()) -> Sample:
    """Return the sample that a row of a known format is.

    Args:
        row: What the file holds.
        layout: Its format.
        ignored: Keys that the user leaves out on purpose.

    Raises:
        DataError: If its turns are not such as can be learned from, or a key changes what should be learned.
    """
    raw = sample_of(row, layout, ignored)
    return Sample(raw.line, raw.turns, str(row.path), raw.remarks, raw.unused)


def digests(messages: Sequence[Message]) -> tuple[bytes, bytes]:
    """Return what two chats share only if they are the same to the last letter; the same for all turns but the last."""
    found = blake2b(digest_size=DIGEST_BYTES)
    before = found.digest()
    for one in messages:
        before = found.digest()
        content = one.content.encode("utf-8", "surrogatepass")
        values = (one.role, len(content), one.thought, one.calls, one.learned, one.name, one.call_id)
        found.update(repr(values).encode("utf-8", "surrogatepass"))
        found.update(content)
    return found.digest(), before
