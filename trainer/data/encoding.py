"""Samples as token ids: many at a time, in several processes, in the memory that their bytes take."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any, NamedTuple

from trainer.base_model.tokenization import BaseModelFacts
from trainer.config.sections import DataSection
from trainer.data.chat import MaskedText, tokens_of_chat
from trainer.data.checked import ANY
from trainer.data.collected import LARGE_BYTES, PART_SAMPLES, Progress, Samples, SamplesPart
from trainer.data.encoded import RESTS, EncodedSamples, EncodedSplit, Refused
from trainer.data.remarks import begins_indented
from trainer.data.sample import Sample
from trainer.data.shelf import Shelf, Writer, find_shelf
from trainer.data.tokens import Tokens
from trainer.data.version import code_digest
from trainer.data.workers import in_order, processes_here
from trainer.errors import BaseModelError

ENCODING = "encoding the samples"
_NUMBERS, _BYTES = ("lengths", "totals", "supervised", "positions"), ("ids", "learned", "special", "indented")


@dataclass(frozen=True)
class EncodedPart:
    """Encoded samples as bytes: what goes from one process to another, and into the cache.

    Attributes:
        columns: One after the other: ``ids`` (int32), ``learned`` (a byte for each id: does it count in the loss?),
            ``lengths``, ``totals`` and ``supervised`` (int32 for each sample, as ``Lengths`` has them), ``special`` (a
            byte for each: does its own text hold a special token?), ``indented`` (a byte for each: does an answer begin
            with an indentation?) and ``positions`` (index in the part, int32).
        rests: The other fields of each ``EncodedSample``, as ``RESTS`` names them.
        refused: The samples that are not there, with indices in the part.
    """

    columns: dict[str, bytes]
    rests: list[tuple[Any, ...]]
    refused: list[Refused]


@dataclass(frozen=True)
class EncodePart:
    """The work: encode some samples with a base model's template and tokenizer."""

    facts: BaseModelFacts
    data: DataSection

    def __call__(self, samples: Iterable[Sample]) -> EncodedPart:
        """Return the samples as bytes, and those that the template refuses."""
        special = special_tokens(self.facts)
        numbers = {name: array("i") for name in _NUMBERS}
        columns = {name: bytearray() for name in _BYTES}
        rests, refused = [], []
        for index, sample in enumerate(samples):
            try:
                masked, tokens = self._tokens(sample)
            except BaseModelError as err:
                refused.append(Refused(index, err.message, err.details, err.resolution))
                continue
            is_special = any(special.search(message.content) is not None for message in sample.messages)
            rests.append(tuple(getattr(masked, name) for name in RESTS))
            columns["ids"] += struct.pack(f"{len(tokens.ids)}i", *tokens.ids)  # half the time that an array takes
            columns["learned"] += tokens.flags()
            numbers["lengths"].append(len(tokens.ids))
            numbers["totals"].append(tokens.total)
            numbers["supervised"].append(sum(end - first for first, end in tokens.learned))
            columns["special"].append(is_special)
            columns["indented"].append(begins_indented(sample.messages))
            numbers["positions"].append(index)
        return EncodedPart({name: bytes(column) for name, column in {**numbers, **columns}.items()}, rests, refused)

    def _tokens(self, sample: Sample) -> tuple[MaskedText, Tokens]:
        return tokens_of_chat(
            sample.messages, self.facts, max_length=self.data.max_length, assistant_only=self.data.assistant_only_loss
        )


def special_tokens(facts: BaseModelFacts) -> re.Pattern[str]:
    """Return the pattern that finds the text of a special token."""
    return re.compile("|".join(map(re.escape, facts.special_tokens)) or r"(?!)")


def encode_splits(
    splits: dict[str, Sequence[Sample]], facts: BaseModelFacts, data: DataSection, progress: Progress
) -> dict[str, EncodedSplit]:
    """Encode the splits of a data set, or take them from the cache.

    Args:
        splits: Samples by the name of the split.
        facts: The base model's tokenizer and template.
        data: Where to cut, and what to learn from.
        progress: Hears how far it is.

    Raises:
        WorkerError: If a process that helps was killed.
    """
    stored = {name: samples for name, samples in splits.items() if isinstance(samples, Samples)}
    total = sum(samples.size_bytes() for samples in stored.values())
    progress(ENCODING, 0, total)
    is_large = total >= LARGE_BYTES and len(stored) == len(splits)
    key = _cache_key(stored, facts, data) if is_large else None
    shelf = None if key is None else find_shelf(key)
    if shelf is None:
        shelf = _encode_all(splits, EncodePart(facts, data), key, lambda done: progress(ENCODING, done, total))
    progress(ENCODING, total, total)
    return {name: _split(shelf, name) for name in splits}


def _split(shelf: Shelf, name: str) -> EncodedSplit:
    positions = shelf.columns[f"{name}.positions"].cast("i")
    return EncodedSplit(
        EncodedSamples(shelf, f"{name}.", range(len(positions))),
        positions,
        shelf.columns[f"{name}.special"],
        shelf.columns[f"{name}.indented"],
        tuple(Refused(*values) for values in shelf.meta["refused"][name]),
    )


def _cache_key(splits: dict[str, Samples], facts: BaseModelFacts, data: DataSection) -> str:
    """Return the digest of all that decides what the tokens of some samples are."""
    about_facts = {
        one.name: getattr(facts, one.name) for one in fields(facts) if one.name not in ("tokenizer", "source")
    }
    about_data = data.model_dump(mode="json", exclude={"train_path", "eval_path", "columns", "chat_template_path"})
    about_data["format"] = "auto" if data.format == ANY else data.format  # what is staged is read row by row
    sums = {name: samples.sha256() for name, samples in splits.items()}
    values = [sums, about_facts, about_data, facts.tokenizer.to_str(), code_digest()]
    return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()[:32]


class _Item(NamedTuple):
    """A part of a split on its way: which split, the index of its first sample there, its text in bytes."""

    split: str
    first: int
    size_bytes: int


def _encode_all(
    splits: dict[str, Sequence[Sample]], work: EncodePart, key: str | None, progress: Callable[[int], None]
) -> Shelf:
    writer, tally = Writer(key), _Tally(list(splits))
    on_their_way: deque[_Item] = deque()

    def parts() -> Iterator[Iterable[Sample]]:
        for name, samples in splits.items():
            for first in range(0, len(samples), PART_SAMPLES):
                some = samples[first : first + PART_SAMPLES]
                part = some.part() if isinstance(some, Samples) else some
                on_their_way.append(_Item(name, first, part.size_bytes() if isinstance(part, SamplesPart) else 0))
                yield part

    done = 0
    try:
        for part in in_order(work, parts(), processes=1 if key is None else processes_here()):
            item = on_their_way.popleft()
            writer.add(tally.count(item, part))
            done += item.size_bytes
            progress(done)
        return writer.finish(tally.meta())
    except BaseException:
        writer.drop()
        raise


class _Tally:
    """What is counted over all parts."""

    def __init__(self, splits: list[str]) -> None:
        self._tokens = dict.fromkeys(splits, 0)
        self._refused: dict[str, list[tuple[object, ...]]] = {name: [] for name in splits}
        self._rests: dict[tuple[Any, ...], int] = {}

    def count(self, item: _Item, part: EncodedPart) -> dict[str, bytes]:
        """Count a part of a split and return the columns that are kept of it."""
        columns = dict(part.columns)
        starts = array("q", accumulate(array("i", columns["lengths"]), initial=self._tokens[item.split]))
        self._tokens[item.split] = starts.pop()
        columns["starts"] = starts.tobytes()
        columns["rests"] = array("i", (self._rests.setdefault(rest, len(self._rests)) for rest in part.rests)).tobytes()
        places = (item.first + index for index in array("i", columns["positions"]))
        columns["positions"] = array("i", places).tobytes()
        self._refused[item.split] += [
            (item.first + one.index, one.message, one.details, one.resolution) for one in part.refused
        ]
        return {f"{item.split}.{name}": column for name, column in columns.items()}

    def meta(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"rests": list(self._rests), "refused": self._refused}
