"""One block of a source, checked: its rows as lines of canonical JSON, and what is wrong with the others.

Canonical is one JSON object a line, UTF-8, as ``json.dumps`` spaces it, under the names that Douse knows, null columns
left out. A canonical line is its own canonical line: a file of them is read as it is.
"""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from trainer.config.sections import Column
from trainer.data.rows import Format, format_of
from trainer.data.sample import Sample, digests, read_sample
from trainer.data.sources.columns import renamed
from trainer.data.sources.reader import Block
from trainer.data.sources.row import BadRow, Row
from trainer.errors import TrainerError

FORMATS: tuple[Format, ...] = get_args(Format)
ANY = "any"
"""``data.format`` that lets the samples of a file have different formats."""
CONTROL, UNREADABLE, REPEATED, REPLACED = "control", "unreadable", "repeated", "replaced"
"""Remarks on a row: control characters in it, characters lost before, a key twice, a column that another replaces."""
CONTEXT_ONLY, UNLEARNABLE = "context only", "unlearnable"
"""Notes on a row: turns of the assistant that are not learned; none of them is, so that it is left out."""
_MAYBE_ODD = (b"\\u00", b"\\b", b"\\f", b"\x7f", b"\xc2", "\ufffd".encode())
"""What a canonical line has in it where a text has a control character or U+FFFD; U+0080 to U+009F begin with 0xC2."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")  # not tabs and line ends, of which NEL is one


@dataclass(frozen=True)
class Bad:
    """A row that cannot be used.

    Attributes:
        number: Its line.
        problem: What is wrong, after the words "path:line".
        resolution: What to do.
        details: More, where there is more.
    """

    number: int
    problem: str
    resolution: str
    details: str | None = None


@dataclass
class CheckedBlock:
    """What was found in a block.

    Attributes:
        columns: Of the rows that can be used, one after the other: ``lines`` (canonical, each with its line feed),
            ``lengths`` (bytes of each line, int32), ``numbers`` (line in the file, int64), ``formats`` (index in
            ``FORMATS``, int8), ``keys`` and ``prompts`` (digests of all turns, and of all but the last).
        bad: The other rows.
        remarks: Lines by remark.
        notes: How often something was done to a sample: by the words for it, or one of the notes above.
        unused: Keys that are harmless to leave out, and are.
        names: Columns of the file that were seen.
        layout: The format of its first row.
    """

    columns: dict[str, bytes]
    bad: list[Bad]
    remarks: dict[str, list[int]]
    notes: Counter[str]
    unused: tuple[str, ...]
    names: tuple[str, ...]
    layout: Format | None


@dataclass(frozen=True)
class CheckBlock:
    """The work: check a block.

    Attributes:
        wanted: ``data.format``.
        columns: ``data.columns``.
        ignored: Keys that the user leaves out on purpose.
        assistant_only: Whether only turns of the assistant are learned.
    """

    wanted: str
    columns: Mapping[Column, str] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    assistant_only: bool = False

    def __call__(self, item: tuple[Block, Format | None]) -> CheckedBlock:
        """Return the rows of a block, and what is wrong with them.

        Args:
            item: The block, and the format that the rows before it have.
        """
        block, layout = item
        found = _Found(layout=layout)
        for row in block.rows():
            if isinstance(row, BadRow):
                found.bad.append(Bad(row.number, row.problem, row.resolution))
                continue
            found.names.update(dict.fromkeys(row.values))
            self._add(row, found)
        return found.packed()

    def _add(self, row: Row, found: _Found) -> None:
        values, replaced = renamed(row.values, self.columns)
        row = Row(row.path, row.number, values, row.repeats)
        try:
            layout = format_of(row, "auto" if self.wanted == ANY else self.wanted)
            if self.wanted != ANY and found.layout is not None and layout != found.layout:
                problem = f"is in the format {layout}, but the lines before are {found.layout}"
                raise row.refused(problem, "keep one format in a file, or set `data.format: any`")
            sample = read_sample(row, layout, self.ignored)
        except TrainerError as err:
            problem = err.message.removeprefix(f"data: {row.where}").strip()
            found.bad.append(Bad(row.number, problem, err.resolution, err.details))
            return
        found.layout = found.layout or layout
        if self.assistant_only and not any(_answers_learned(sample)):
            found.notes[UNLEARNABLE] += 1
            return
        found.note(sample)
        line = canonical_line(values)
        found.lines.append(line)
        found.numbers.append(row.number)
        found.formats.append(FORMATS.index(layout))
        key, prompt = digests(sample.messages)
        found.keys.append(key)
        found.prompts.append(prompt)
        odd = _odd(line, values)
        for remark in (*odd, *([REPEATED] if row.repeats else []), *([REPLACED] if replaced else [])):
            found.remarks.setdefault(remark, []).append(row.number)


@dataclass
class _Found:
    """What is found while a block is gone through."""

    layout: Format | None
    lines: list[bytes] = field(default_factory=list)
    numbers: array[int] = field(default_factory=lambda: array("q"))
    formats: array[int] = field(default_factory=lambda: array("b"))
    keys: list[bytes] = field(default_factory=list)
    prompts: list[bytes] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    remarks: dict[str, list[int]] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    unused: dict[str, None] = field(default_factory=dict)
    names: dict[str, None] = field(default_factory=dict)

    def note(self, sample: Sample) -> None:
        """Count what was done to a sample."""
        self.notes.update(sample.remarks)
        self.notes[CONTEXT_ONLY] += _answers_learned(sample).count(False)
        self.unused.update(dict.fromkeys(sample.unused))

    def packed(self) -> CheckedBlock:
        """Return it as it goes from one process to another."""
        columns = {
            "lines": b"".join(self.lines),
            "lengths": array("i", map(len, self.lines)).tobytes(),
            "numbers": self.numbers.tobytes(),
            "formats": self.formats.tobytes(),
            "keys": b"".join(self.keys),
            "prompts": b"".join(self.prompts),
        }
        return CheckedBlock(
            columns, self.bad, self.remarks, self.notes, tuple(self.unused), tuple(self.names), self.layout
        )


def _answers_learned(sample: Sample) -> list[bool]:
    """Return for each turn of the assistant whether it is learned."""
    return [message.learned for message in sample.messages if message.role == "assistant"]


def canonical_line(values: Mapping[str, Any]) -> bytes:
    """Return a row as the line that is staged, with its line feed."""
    try:
        return json.dumps(values, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair, in a column that no sample is made of
        return json.dumps(values).encode() + b"\n"


def _odd(line: bytes, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the remarks on a row's characters; its line is looked at first, for nearly all have none."""
    if not any(sign in line for sign in _MAYBE_ODD):
        return
    texts = list(_texts(values))
    if any(_CONTROL.search(text) for text in texts):
        yield CONTROL
    if any("\ufffd" in text for text in texts):
        yield UNREADABLE


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
