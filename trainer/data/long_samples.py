"""Samples of more than ``max_length`` tokens: cut, left out or refused; and those of which the cut leaves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trainer.config.sections import DataSection
from trainer.data.bad_samples import write_list
from trainer.data.collected import SHOWN_PLACES, path_of, shown_places
from trainer.data.encoded import EncodedSplit
from trainer.data.sample import Sample
from trainer.data.sources.paths import shown_paths
from trainer.errors import DataError


class Settled(NamedTuple):
    """A split of which every sample can be learned from, and how many were left out as they are too long."""

    split: EncodedSplit
    left_out: int
    warnings: tuple[str, ...]


def settle_long(split: EncodedSplit, samples: Sequence[Sample], data: DataSection, name: str) -> Settled:
    """Do with the samples that are too long what ``data.on_long_sample`` says.

    Args:
        split: The encoded samples.
        samples: The split that they come from.
        data: How long they may be.
        name: ``training`` or ``eval``.

    Raises:
        DataError: If they are refused, or a sample has nothing left to learn after the cut.
    """
    path = shown_paths(data.train_path if name == "training" or data.eval_path is None else data.eval_path)
    lengths = list(split.samples.lengths())
    long = [index for index, one in enumerate(lengths) if one.total_tokens > data.max_length]
    empty = [index for index, one in enumerate(lengths) if one.supervised_tokens == 0]
    if data.on_long_sample != "cut":
        is_long = set(long)
        empty = [index for index in empty if index not in is_long]

    def lines(indices: Sequence[int]) -> str:
        return shown_places(samples, [split.positions[index] for index in indices])

    def listed(name: str, indices: Sequence[int]) -> str:
        return _listed(name, split, samples, indices)

    if long and data.on_long_sample == "refuse":
        raise DataError(
            f"data: {path} has {len(long)} sample(s) of more than max_length {data.max_length} tokens: "
            f"line {lines(long)}",
            resolution=f"raise data.max_length, set `data.on_long_sample: cut` or `skip`, or shorten these lines"
            f"{listed('too-long-samples', long)}",
        )
    if empty:
        raise DataError(
            f"data: {path} has {len(empty)} sample(s) with nothing to learn within max_length {data.max_length}: "
            f"line {lines(empty)}",
            resolution="raise data.max_length, set `data.on_long_sample: skip`, or shorten the prompts of these lines"
            f"{listed('samples-with-nothing-to-learn', empty)}",
        )
    if data.on_long_sample == "cut" or not long:
        return Settled(split, 0, ())
    if len(long) == len(lengths):
        raise DataError(
            f"data: all {len(long)} {name} samples of {path} have more than max_length {data.max_length} tokens",
            resolution="raise data.max_length, or set `data.on_long_sample: cut`",
        )
    words = (
        f"{len(long)} of {len(lengths)} {name} samples have more than max_length {data.max_length} tokens and are left "
        f"out: line {lines(long)}{listed(f'too-long-{name}-samples', long)}"
    )
    return Settled(split.chosen([index for index in range(len(lengths)) if index not in is_long]), len(long), (words,))


def _listed(name: str, split: EncodedSplit, samples: Sequence[Sample], indices: Sequence[int]) -> str:
    """Write the places of samples into a file if they are more than are shown, and return the words about it."""
    if len(indices) <= SHOWN_PLACES:
        return ""
    written = write_list(name, [path_of(samples, split.positions[index]) for index in indices])
    return "" if written is None else f" (all are listed in {written})"
