from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.trainer.small_facts import small_facts
from trainer.config.recipe import Recipe
from trainer.config.sections import DataSection
from trainer.data.encoded import EncodedSamples, lengths_of
from trainer.data.samples import EncodedDataset, encode, load_dataset
from trainer.data.steps import steps_of_run
from trainer.data.summary import Lengths


@pytest.fixture
def encoded(tmp_path: Path) -> EncodedDataset:
    rows = [{"prompt": f"What is {n}?", "completion": f"It is {n}. " * n} for n in range(1, 21)]
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    data = DataSection(train_path=str(path), max_length=64)
    return encode(load_dataset(data, 1), small_facts(), data)


def test_lengths_are_those_of_the_samples(encoded: EncodedDataset) -> None:
    some = encoded.train[3:9]
    assert isinstance(some, EncodedSamples)

    expected = [Lengths(one.total_tokens, len(one.input_ids), one.supervised_tokens) for one in some]

    assert list(some.lengths()) == list(lengths_of(tuple(some))) == expected
    assert any(one.total_tokens > one.tokens == 64 for one in expected)


def test_steps_are_counted_without_making_a_sample(encoded: EncodedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe.model_validate({"data": {"max_length": 64}})
    expected = steps_of_run(recipe, EncodedDataset(tuple(encoded.train), (), encoded.summary, encoded.dataset))
    monkeypatch.setattr(EncodedSamples, "__getitem__", None)

    assert steps_of_run(recipe, encoded) == expected
