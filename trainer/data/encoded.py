"""Encoded samples as they lie in memory or in the cache, and a look at one or at the lengths of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, overload

from trainer.data.chat import IGNORE_INDEX, EncodedSample
from trainer.data.shelf import Shelf
from trainer.data.summary import Lengths

_IN_COLUMNS = ("input_ids", "labels", "total_tokens")
RESTS = tuple(one.name for one in fields(EncodedSample) if one.name not in _IN_COLUMNS)
"""The fields of a sample that few values come in: they are kept once each."""
_WIDTHS: dict[str, Literal["i", "B", "q"]] = {
    "ids": "i", "learned": "B", "starts": "q", "totals": "i", "lengths": "i", "supervised": "i", "rests": "i",
}  # fmt: skip


@dataclass(frozen=True)
class Refused:
    """A sample that the chat template refuses: its index in the split, and the parts of the error."""

    index: int
    message: str
    details: str | None
    resolution: str


class EncodedSamples(Sequence[EncodedSample]):
    """Encoded samples in some order; each is made from its bytes when it is wanted."""

    def __init__(self, shelf: Shelf, prefix: str, order: Sequence[int]) -> None:
        """Choose the samples of a shelf: its columns begin with ``prefix``, the name of the split."""
        self._shelf, self._prefix, self._order = shelf, prefix, order

    @cached_property
    def _columns(self) -> dict[str, memoryview]:
        return {name: self._shelf.columns[self._prefix + name].cast(width) for name, width in _WIDTHS.items()}

    def __len__(self) -> int:
        """Count the samples."""
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> EncodedSample: ...
    @overload
    def __getitem__(self, index: slice) -> EncodedSamples: ...
    def __getitem__(self, index: int | slice) -> EncodedSample | EncodedSamples:
        """Return one sample, or some of them."""
        if isinstance(index, slice):
            return EncodedSamples(self._shelf, self._prefix, self._order[index])
        columns, index = self._columns, self._order[index]
        tokens = slice(columns["starts"][index], columns["starts"][index] + columns["lengths"][index])
        ids = columns["ids"][tokens].tolist()
        pairs = zip(ids, columns["learned"][tokens], strict=True)
        labels = [token if is_learned else IGNORE_INDEX for token, is_learned in pairs]
        return EncodedSample(ids, labels, columns["totals"][index], **self._rests[columns["rests"][index]])

    def __eq__(self, other: object) -> bool:
        """Return whether the same samples stand in the same order."""
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(EncodedSample.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def chosen(self, indices: Sequence[int]) -> EncodedSamples:
        """Return some of them."""
        return EncodedSamples(self._shelf, self._prefix, [self._order[index] for index in indices])

    def lengths(self) -> Iterator[Lengths]:
        """Yield how long the samples are, without making them."""
        columns = (self._columns[name] for name in ("totals", "lengths", "supervised"))
        return map(Lengths, *(map(column.__getitem__, self._order) for column in columns))

    def dropped_thoughts(self) -> int:
        """Return how many thoughts the template leaves out of the samples."""
        counts = Counter(map(self._columns["rests"].__getitem__, self._order))
        return sum(count * self._rests[rest]["dropped_thoughts"] for rest, count in counts.items())

    @cached_property
    def _rests(self) -> list[dict[str, Any]]:
        return [dict(zip(RESTS, values, strict=True)) for values in self._shelf.meta["rests"]]


def lengths_of(samples: Sequence[EncodedSample]) -> Iterator[Lengths]:
    """Return an iterator over the lengths of samples, which are made only where they are no ``EncodedSamples``."""
    if isinstance(samples, EncodedSamples):
        return samples.lengths()
    return (Lengths(sample.total_tokens, len(sample.input_ids), sample.supervised_tokens) for sample in samples)


@dataclass(frozen=True)
class EncodedSplit:
    """All of a split that can be encoded.

    Attributes:
        samples: The encoded samples.
        positions: The index of each in the split.
        special: Whether its own text holds a special token.
        indented: Whether one of its answers begins with an indentation.
        refused: The samples that the template refuses.
    """

    samples: EncodedSamples
    positions: Sequence[int]
    special: Sequence[int]
    indented: Sequence[int]
    refused: tuple[Refused, ...]

    def chosen(self, indices: Sequence[int]) -> EncodedSplit:
        """Return some of the encoded samples."""
        columns = (self.positions, self.special, self.indented)
        positions, special, indented = ([of[index] for index in indices] for of in columns)
        return EncodedSplit(self.samples.chosen(indices), positions, special, indented, self.refused)
