"""All rows of a split's files: checked once, kept as canonical lines, read as samples whenever one is wanted."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

from trainer.config.sections import DataSection
from trainer.data.checked import FORMATS, UNLEARNABLE, Bad, CheckBlock, CheckedBlock
from trainer.data.rows import Format, other_formats
from trainer.data.sample import DIGEST_BYTES, Sample, digests, read_sample
from trainer.data.shelf import Shelf, Writer, find_shelf
from trainer.data.sources.opened import plain_name
from trainer.data.sources.paths import SourceFile
from trainer.data.sources.reader import read_blocks
from trainer.data.sources.row import FORMAT_HELP, Row
from trainer.data.version import code_digest
from trainer.data.workers import in_order, processes_here
from trainer.errors import DataError
from trainer.files import sha256_of_unchanged

READING = "reading the samples"
LARGE_BYTES = 8 * 2**20
"""From this size on, data is worth processes of its own and a place in the cache."""
PART_SAMPLES = 256
"""Samples that are parsed or encoded at a time: a fraction of a second's work."""
SHOWN_PLACES = 5
"""Places that an error or a warning names at most."""
Progress = Callable[[str, int, int], None]
"""Called with what goes on, and how much of how much is done, in bytes."""


def no_progress(what: str, done: int, total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Remark:
    """Rows that can be used and should be looked at: how many, and the first of them as (file, line)."""

    count: int
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Collected:
    """The rows of a split.

    Attributes:
        files: Where they come from.
        rows: Those that can be used.
        bad: The others, each with the index of its file.
        names: Columns that the files have.
        remarks: What is to be said of rows that can be used.
        notes: How often something was done to a row; see ``CheckedBlock``.
        unused: Keys that are harmless to leave out, and are.
    """

    files: tuple[SourceFile, ...]
    rows: Rows
    bad: tuple[tuple[int, Bad], ...]
    names: tuple[str, ...]
    remarks: dict[str, Remark]
    notes: dict[str, int]
    unused: tuple[str, ...]

    def place(self, owner: int, number: int) -> str:
        """Return the place of a row: its line, behind its file where there are several."""
        return str(number) if len(self.files) == 1 else f"{self.files[owner].path}:{number}"

    def place_of(self, index: int) -> str:
        """Return the place of a row that can be used."""
        return self.place(self.rows.owner(index), self.rows.number(index))


@dataclass(frozen=True)
class Rows:
    """Rows as canonical lines, without a parsed copy of each: ``line(n)`` and ``sample(n)`` look at one."""

    shelf: Shelf
    files: tuple[SourceFile, ...]
    ignored: frozenset[str] = frozenset()

    @cached_property
    def _starts(self) -> memoryview:
        return self.shelf.columns["starts"].cast("q")

    @cached_property
    def _numbers(self) -> memoryview:
        return self.shelf.columns["numbers"].cast("q")

    @cached_property
    def _owners(self) -> memoryview:
        return self.shelf.columns["owners"].cast("i")

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.shelf.columns["formats"])

    def line(self, index: int) -> bytes:
        """Return a row's canonical line, with its line feed."""
        start: int = self._starts[index]
        return bytes(self.shelf.columns["lines"][start : start + self.size_bytes(index)])

    def size_bytes(self, index: int) -> int:
        """Return the length of a row's line."""
        is_last = index + 1 == len(self)
        end: int = len(self.shelf.columns["lines"]) if is_last else self._starts[index + 1]
        return end - int(self._starts[index])

    def number(self, index: int) -> int:
        """Return a row's line in its file."""
        number: int = self._numbers[index]
        return number

    def owner(self, index: int) -> int:
        """Return the index of a row's file."""
        owner: int = self._owners[index]
        return owner

    def layout(self, index: int) -> Format:
        """Return a row's format."""
        return FORMATS[self.shelf.columns["formats"][index]]

    def key(self, index: int) -> bytes:
        """Return the digest of a row's turns."""
        return bytes(self.shelf.columns["keys"][index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES])

    def prompt(self, index: int) -> bytes:
        """Return the digest of a row's turns but the last."""
        return bytes(self.shelf.columns["prompts"][index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES])

    def path(self, index: int) -> Path:
        """Return a row's file."""
        return self.files[self.owner(index)].path


class Samples(Sequence[Sample]):
    """Samples of some rows, in some order; each is parsed when it is wanted."""

    def __init__(self, rows: Rows, order: Sequence[int]) -> None:
        """Choose the rows."""
        self.rows, self.order = rows, order

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.order)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Samples: ...
    def __getitem__(self, index: int | slice) -> Sample | Samples:
        """Return one sample, or some of them."""
        if isinstance(index, slice):
            return Samples(self.rows, self.order[index])
        return next(iter(Samples(self.rows, [self.order[index]]).part()))

    def __eq__(self, other: object) -> bool:
        """Return whether the same samples stand in the same order."""
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(Sample.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Sample]:
        """Parse all of them, one after the other."""
        starts = range(0, len(self), PART_SAMPLES)
        return (sample for start in starts for sample in self[start : start + PART_SAMPLES].part())

    def part(self) -> SamplesPart:
        """Return what it takes to parse them, in another process as well."""
        rows = self.rows
        return SamplesPart(
            tuple((rows.path(one), rows.number(one), rows.layout(one), rows.line(one)) for one in self.order),
            rows.ignored,
        )

    def size_bytes(self) -> int:
        """Return how much text they are."""
        return sum(map(self.rows.size_bytes, self.order))

    def sha256(self) -> str:
        """Return the SHA-256 of the canonical lines, which is that of the file they are staged in."""
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        found = hashlib.sha256()
        for line in self.lines():
            found.update(line)
        return found.hexdigest()

    def lines(self) -> Iterator[bytes]:
        """Yield the canonical lines."""
        return map(self.rows.line, self.order)


def place_of(samples: Sequence[Sample], index: int) -> str:
    """Return the place of a sample: its line, behind its file where the split has several."""
    is_alone = not isinstance(samples, Samples) or len(samples.rows.files) == 1
    return str(samples[index].line) if is_alone else path_of(samples, index)


def shown(items: Sequence[str], total: int) -> str:
    """Return the first few items in one line, and how many more there are."""
    more = f" and {total - SHOWN_PLACES} more" if total > SHOWN_PLACES else ""
    return ", ".join(items[:SHOWN_PLACES]) + more


def shown_places(samples: Sequence[Sample], indices: Sequence[int]) -> str:
    """Return the places of the first few samples in one line, and how many more there are."""
    return shown([place_of(samples, index) for index in indices[:SHOWN_PLACES]], len(indices))


def keys_of(samples: Sequence[Sample]) -> list[bytes]:
    """Return a digest of each sample's turns."""
    if isinstance(samples, Samples):
        return list(map(samples.rows.key, samples.order))
    return [digests(sample.messages)[0] for sample in samples]


def prompts_of(samples: Sequence[Sample]) -> list[bytes]:
    """Return a digest of each sample's turns but the last."""
    if isinstance(samples, Samples):
        return list(map(samples.rows.prompt, samples.order))
    return [digests(sample.messages)[1] for sample in samples]


def path_of(samples: Sequence[Sample], index: int) -> str:
    """Return the place of a sample, with its file."""
    sample = samples[index]
    return f"{sample.path}:{sample.line}"


@dataclass(frozen=True)
class SamplesPart:
    """Some samples before they are parsed: path, line in it, format and canonical line of each, and keys to ignore."""

    found: tuple[tuple[Path, int, Format, bytes], ...]
    ignored: frozenset[str]

    def __iter__(self) -> Iterator[Sample]:
        """Parse them."""
        for path, number, layout, line in self.found:
            yield read_sample(Row(path, number, json.loads(line)), layout, self.ignored)

    def size_bytes(self) -> int:
        """Return how much text they are."""
        return sum(len(line) for *_, line in self.found)


def collect(files: tuple[SourceFile, ...], data: DataSection, key: str, progress: Progress = no_progress) -> Collected:
    """Read and check the files of a split.

    Args:
        files: The files.
        data: The format that is wanted, and the names of columns.
        key: Recipe key that names them, for the hints.
        progress: Hears how far it is.

    Raises:
        DataError: If a file cannot be read as a whole, or holds no sample; what is wrong with single rows is returned.
        WorkerError: If a process that helps was killed.
    """
    total = sum(file.path.stat().st_size for file in files if file.path.is_file())
    progress(READING, 0, total)
    cache_key = None if total < LARGE_BYTES else _cache_key(files, data)
    shelf = None if cache_key is None else find_shelf(cache_key)
    if shelf is None:
        shelf = _read_all(files, data, key, cache_key, lambda done: progress(READING, min(done, total), total))
    progress(READING, total, total)
    rows = Rows(shelf, files, _ignored(data))
    if not len(rows) and not shelf.meta["bad"]:
        raise DataError(
            f"data: {', '.join(str(file.path) for file in files)} has no turn that is to be learned",
            resolution="set `weight: 1` on turns of the assistant, or leave the key out",
        )
    return Collected(
        files,
        rows,
        tuple((owner, Bad(*values)) for owner, *values in shelf.meta["bad"]),
        tuple(shelf.meta["names"]),
        {name: Remark(count, tuple(map(tuple, places))) for name, (count, places) in shelf.meta["remarks"].items()},
        shelf.meta["notes"],
        tuple(shelf.meta["unused"]),
    )


def _ignored(data: DataSection) -> frozenset[str]:
    """Return the keys that are left out on purpose: who names a format leaves the others' keys out."""
    return other_formats(data.format).union(data.ignore_keys)


def _cache_key(files: tuple[SourceFile, ...], data: DataSection) -> str:
    """Return the digest of all that decides what the rows of some files are."""
    contents = [(sha256_of_unchanged(file.path), plain_name(file.path).rpartition(".")[2]) for file in files]
    values = [
        contents, data.format, sorted(data.columns.items()), sorted(_ignored(data)), data.assistant_only_loss,
        code_digest(),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]


def _read_all(
    files: tuple[SourceFile, ...], data: DataSection, key: str, cache_key: str | None, progress: Callable[[int], None]
) -> Shelf:
    writer, tally = Writer(cache_key), _Tally()
    try:
        for owner, file in enumerate(files):
            before = tally.rows_seen
            for block in _checked(file.path, data, key, is_large=cache_key is not None):
                writer.add(tally.count(owner, block))
                progress(tally.bytes_read)
            if tally.rows_seen == before:
                raise DataError(f"data: {file.path} holds no sample", resolution=FORMAT_HELP)
        return writer.finish(tally.meta())
    except BaseException:
        writer.drop()
        raise


def _checked(path: Path, data: DataSection, key: str, *, is_large: bool) -> Iterator[CheckedBlock]:
    """Yield the checked blocks of a file; the first ones say which format the others have to have."""
    work = CheckBlock(data.format, data.columns, _ignored(data), data.assistant_only_loss)
    blocks = iter(read_blocks(path, key, _ignored(data)))
    layout: Format | None = None
    for block in blocks:
        checked = work((block, None))
        layout = checked.layout
        yield checked
        if layout is not None:
            break
    yield from in_order(work, ((block, layout) for block in blocks), processes=processes_here() if is_large else 1)


class _Tally:
    """What is counted over all blocks."""

    def __init__(self) -> None:
        self.bytes_read = self.rows_seen = 0
        self._bad: list[tuple[object, ...]] = []
        self._remarks: dict[str, tuple[int, list[tuple[int, int]]]] = {}
        self._notes: Counter[str] = Counter()
        self._unused: dict[str, None] = {}
        self._names: dict[str, None] = {}

    def count(self, owner: int, block: CheckedBlock) -> dict[str, bytes]:
        """Count a block of a file and return the columns that are kept of it."""
        columns = dict(block.columns)
        lengths = array("i", columns.pop("lengths"))
        starts = array("q", accumulate(lengths, initial=self.bytes_read))
        self.bytes_read = starts.pop()
        self.rows_seen += len(lengths) + len(block.bad) + block.notes[UNLEARNABLE]
        self._bad += [(owner, bad.number, bad.problem, bad.resolution, bad.details) for bad in block.bad]
        self._names |= dict.fromkeys(block.names)
        self._notes += block.notes
        self._unused |= dict.fromkeys(block.unused)
        for name, numbers in block.remarks.items():
            count, places = self._remarks.get(name, (0, []))
            places = [*places, *((owner, number) for number in numbers)]
            self._remarks[name] = count + len(numbers), places[:SHOWN_PLACES]
        return {**columns, "starts": starts.tobytes(), "owners": (array("i", [owner]) * len(lengths)).tobytes()}

    def meta(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "bad": self._bad, "remarks": self._remarks, "notes": dict(self._notes), "unused": list(self._unused),
            "names": list(self._names),
        }  # fmt: skip
