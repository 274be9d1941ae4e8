"""The table of a run's samples: the same rows as of a list, without the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import ref

import datasets
import pytest
from trl.data_utils import pack_dataset

from trainer.data.chat import IGNORE_INDEX, EncodedSample
from trainer.training import rows
from trainer.training.rows import training_rows


def sample(number: int) -> EncodedSample:
    ids = [number % 50_000, 150_000 + number, *range(number % 7)]
    return EncodedSample(ids, [IGNORE_INDEX, *ids[1:]], len(ids))


class Watched(Sequence[EncodedSample]):
    """Makes samples when they are looked at, and counts those that live."""

    def __init__(self, count: int) -> None:
        self.order, self.made, self.most = range(count), list[Any](), 0

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in self.order[index]]
        one = sample(self.order[index])
        self.made = [old for old in self.made if old() is not None] + [ref(one)]
        self.most = max(self.most, len(self.made))
        return one


def test_rows_are_those_of_a_list_of_them_and_packed_alike() -> None:
    samples = [sample(number) for number in range(600)]
    listed = [{"input_ids": one.input_ids, "labels": one.labels} for one in samples]

    found = training_rows(samples)

    assert found.to_list() == listed
    expected = datasets.Dataset.from_list(listed).shuffle(seed=3)
    assert pack_dataset(found.shuffle(seed=3), 16).to_list() == pack_dataset(expected, 16).to_list()


def test_only_some_samples_are_lists_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "AT_A_TIME", 10)
    samples = Watched(95)

    found = training_rows(samples)

    assert len(found) == 95
    assert samples.most <= 20  # these ten, and the ten before
