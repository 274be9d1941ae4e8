"""The day that a template writes: the same tokens on every day for a run that has one, and another identity if not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from weakref import ref

import pytest

from tests.unit.trainer.data.test_samples import pairs, section
from tests.unit.trainer.small_facts import CHATML, small_facts
from trainer.data.samples import EncodedDataset, encode, load_dataset
from trainer.training.phases import digest_tokens

DATED = "<|im_start|>system\n{{ strftime_now('%d %b %Y') }}<|im_end|>\n" + CHATML
PLANNED, LATER = date(2026, 11, 28), date(2026, 12, 3)


def encoded_on(tmp_path: Path, day: date, template: str = DATED) -> EncodedDataset:
    data = section(tmp_path, pairs(1, 2), pairs(9))
    return encode(load_dataset(data, seed=1), replace(small_facts(template), today=day), data)


def test_the_same_day_gives_the_same_tokens_whenever_they_are_made(tmp_path: Path) -> None:
    assert encoded_on(tmp_path, PLANNED).train == encoded_on(tmp_path, PLANNED).train


@pytest.mark.parametrize(("template", "is_same"), [(DATED, False), (CHATML, True)], ids=["a day", "no day"])
def test_another_day_is_another_tokenization_where_the_template_writes_it(
    tmp_path: Path, template: str, is_same: bool
) -> None:
    digests = [digest_tokens(encoded_on(tmp_path, day, template)) for day in (PLANNED, LATER)]

    assert (digests[0] == digests[1]) == is_same


def test_what_is_learned_of_the_same_tokens_is_part_of_their_identity(tmp_path: Path) -> None:
    encoded = encoded_on(tmp_path, PLANNED)
    first = replace(encoded.train[0], labels=list(encoded.train[0].input_ids))

    assert digest_tokens(replace(encoded, train=(first, *encoded.train[1:]))) != digest_tokens(encoded)


def test_samples_are_made_one_at_a_time_for_the_digest(tmp_path: Path) -> None:
    encoded = encoded_on(tmp_path, PLANNED)
    made: list[Any] = []

    def watched(samples: Any) -> Any:
        for number in range(len(samples)):
            sample = samples[number]
            made.append(ref(sample))
            assert sum(one() is not None for one in made) <= 2  # this one, and the one before in the loop
            yield sample
            del sample

    assert len(encoded.train) + len(encoded.eval) >= 3
    lazy: Any = replace(encoded, train=watched(encoded.train), eval=watched(encoded.eval))
    assert digest_tokens(lazy) == digest_tokens(encoded)
    assert len(made) >= 3
