"""Several sources: what is held out, and how often each is used."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from trainer.config.paths import WeightedPath
from trainer.config.sections import DataSection
from trainer.data.samples import Dataset, load_dataset
from trainer.data.summary import SourceUse
from trainer.errors import DataError


def source(folder: Path, name: str, *numbers: int) -> str:
    path = folder / name
    path.write_text("".join(json.dumps({"prompt": f"{name} {n}", "completion": "x"}) + "\n" for n in numbers))
    return str(path)


def mixture(folder: Path, weight: float, *, seed: int = 1, held_out: bool = True) -> Dataset:
    data = DataSection(
        train_path=[
            source(folder, "a.jsonl", *range(10)),
            WeightedPath(path=source(folder, "b.jsonl", *range(20)), weight=weight),
        ],
        eval_path=source(folder, "eval.jsonl", 1, 2) if held_out else None,
    )
    return load_dataset(data, seed)


def uses(dataset: Dataset) -> Counter[str]:
    return Counter(sample.messages[0].content for sample in dataset.train)


@pytest.mark.parametrize(("weight", "used"), [(1.0, 20), (0.5, 10), (2.0, 40), (2.25, 45), (0.01, 1)])
def test_a_weight_says_how_often_the_samples_of_a_source_are_used(tmp_path: Path, weight: float, used: int) -> None:
    dataset = mixture(tmp_path, weight)

    assert dataset.sources == (
        SourceUse(str(tmp_path / "a.jsonl"), 1.0, 10, 10), SourceUse(str(tmp_path / "b.jsonl"), weight, 20, used)
    )  # fmt: skip
    counts = uses(dataset)
    assert {counts[f"a.jsonl {n}"] for n in range(10)} == {1}
    repeats = [counts[f"b.jsonl {n}"] for n in range(20)]
    assert sum(repeats) == used
    assert max(repeats) - min(repeats) <= 1


def test_which_share_is_used_depends_on_the_seed_alone(tmp_path: Path) -> None:
    first, again, other = (uses(mixture(tmp_path, 0.5, seed=seed)) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_what_is_held_out_is_used_by_no_source_however_often_it_is_used(tmp_path: Path) -> None:
    dataset = mixture(tmp_path, 3.0, held_out=False)

    kept = {sample.messages[0].content for sample in dataset.eval}
    assert len(kept) == len(dataset.eval) == 3
    assert not kept & set(uses(dataset))
    assert sum(one.used for one in dataset.sources) == len(dataset.train)


def test_a_single_file_without_a_weight_has_no_table_of_sources(tmp_path: Path) -> None:
    data = DataSection(train_path=source(tmp_path, "a.jsonl", 1, 2, 3))

    assert load_dataset(data, 1).sources == ()


def test_sources_may_have_formats_of_their_own(tmp_path: Path) -> None:
    table = tmp_path / "b.csv"
    table.write_text("instruction,output\nAdd.,00721\n")
    data = DataSection(
        train_path=[source(tmp_path, "a.jsonl", 1), str(table)], eval_path=source(tmp_path, "e.jsonl", 2)
    )

    dataset = load_dataset(data, 1)

    assert dataset.format == "prompt_completion + alpaca"
    assert [sample.messages[-1].content for sample in dataset.train] == ["x", "00721"]


def test_leaks_between_several_files_are_named_with_their_files(tmp_path: Path) -> None:
    train = [source(tmp_path, name, 1, 2) for name in ("a.jsonl", "b.jsonl")]
    copy = tmp_path / "eval.jsonl"
    copy.write_text((tmp_path / "b.jsonl").read_text())

    with pytest.raises(DataError) as caught:
        load_dataset(DataSection(train_path=train, eval_path=str(copy)), 1)

    assert f"line 1 (train line {tmp_path}/b.jsonl:1), 2 (train line {tmp_path}/b.jsonl:2)" in caught.value.message
