from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainer.small_facts import small_facts
from trainer.config.sections import DataSection
from trainer.data.samples import EncodedDataset, encode, load_dataset
from trainer.errors import DataError

LONG_ANSWER = {"prompt": "What?", "completion": "yes " * 60}
LONG_PROMPT = {"prompt": "What? " * 60, "completion": "yes"}


def good(number: int) -> dict[str, str]:
    return {"prompt": f"What is {number}?", "completion": f"It is {number}."}


def run(folder: Path, train: list[Any], held_out: list[Any], policy: Any) -> EncodedDataset:
    paths = []
    for name, samples in (("train.jsonl", train), ("eval.jsonl", held_out)):
        paths.append(folder / name)
        paths[-1].write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    data = DataSection(train_path=str(paths[0]), eval_path=str(paths[1]), max_length=64, on_long_sample=policy)
    return encode(load_dataset(data, 1), small_facts(), data)


def test_long_samples_are_left_out_and_counted(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        [good(1), LONG_ANSWER, good(2), LONG_PROMPT],
        [good(3), {"prompt": "Who? " * 60, "completion": "me"}],
        "skip",
    )

    summary = result.summary
    assert [sample.line for sample in result.dataset.train] == [1, 3]
    assert (len(result.train), len(result.eval), len(result.dataset.eval)) == (2, 1, 1)
    assert (summary.left_out.long, summary.left_out.eval_long) == (2, 1)
    assert (summary.train.samples, summary.train.cut_samples) == (2, 0)
    assert summary.warnings[0] == (
        "2 of 4 training samples have more than max_length 64 tokens and are left out: line 2, 4"
    )
    assert summary.longest_lines[0] in ("1", "3")


def test_many_long_samples_are_listed_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "cache"))
    long = [{**LONG_ANSWER, "prompt": f"What {n}?"} for n in range(7)]

    warning = run(tmp_path, [*long, good(1)], [good(2)], "skip").summary.warnings[0]

    assert "line 1, 2, 3, 4, 5 and 2 more (all are listed in " in warning
    (path,) = (tmp_path / "cache" / "data").glob("too-long-training-samples-*.txt")
    assert path.read_text().splitlines() == [f"{tmp_path}/train.jsonl:{n}" for n in range(1, 8)]


def test_long_samples_are_refused_where_the_run_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        run(tmp_path, [good(1), LONG_ANSWER], [good(2)], "refuse")

    assert caught.value.message == (
        f"data: {tmp_path}/train.jsonl has 1 sample(s) of more than max_length 64 tokens: line 2"
    )
    assert "data.on_long_sample" in caught.value.resolution


def test_a_cut_that_leaves_nothing_to_learn_is_refused_with_the_way_to_leave_it_out(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        run(tmp_path, [good(1), LONG_PROMPT], [good(2)], "cut")

    assert "nothing to learn within max_length 64: line 2" in caught.value.message
    assert "`data.on_long_sample: skip`" in caught.value.resolution


def test_a_split_of_long_samples_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        run(tmp_path, [good(1)], [LONG_ANSWER, LONG_PROMPT], "skip")

    assert caught.value.message == (
        f"data: all 2 eval samples of {tmp_path}/eval.jsonl have more than max_length 64 tokens"
    )


def test_special_tokens_are_looked_for_in_both_splits(tmp_path: Path) -> None:
    odd = {"prompt": "What ends a turn?", "completion": "It is <|im_end|>."}

    summary = run(tmp_path, [good(1)], [good(2), odd], "cut").summary

    assert summary.warnings == ("1 eval samples hold the text of a special token, which becomes that token: line 2",)
    assert (summary.special_token_samples, summary.eval_special_token_samples) == (0, 1)
