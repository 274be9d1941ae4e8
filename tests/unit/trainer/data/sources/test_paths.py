from __future__ import annotations

from pathlib import Path

import pytest

from trainer.config.paths import WeightedPath
from trainer.data.sources.paths import SourceFile, find_files, shown_paths
from trainer.errors import DataError


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")


def test_a_path_is_taken_as_it_is() -> None:
    assert find_files("/none/a.jsonl", "data.train_path") == (SourceFile(Path("/none/a.jsonl")),)


def test_a_pattern_takes_the_files_that_fit_by_their_names(tmp_path: Path) -> None:
    make(tmp_path, "b-2.jsonl", "b-10.jsonl", "b-1.jsonl", "c.jsonl", ".b-3.jsonl", "d/e/b-4.jsonl", "b-dir.jsonl/x")

    found = find_files(f"{tmp_path}/b-*.jsonl", "data.train_path")

    assert [file.path.name for file in found] == ["b-1.jsonl", "b-10.jsonl", "b-2.jsonl"]
    assert [file.path.name for file in find_files(f"{tmp_path}/**/b-[4].jsonl", "data.train_path")] == ["b-4.jsonl"]


def test_a_name_with_brackets_is_no_pattern_where_there_is_such_a_file(tmp_path: Path) -> None:
    make(tmp_path, "data [1] it's äöü $x.jsonl", "data 1.jsonl")

    assert len(find_files(f"{tmp_path}/data [1] it's äöü $x.jsonl", "data.train_path")) == 1


def test_a_list_keeps_its_order_and_its_weights(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl", "b-1.csv", "b-2.csv")

    found = find_files(
        [str(tmp_path / "a.jsonl"), WeightedPath(path=f"{tmp_path}/b-*.csv", weight=0.5)], "data.train_path"
    )

    assert [(file.path.name, file.weight) for file in found] == [("a.jsonl", 1.0), ("b-1.csv", 0.5), ("b-2.csv", 0.5)]


def test_a_pattern_that_fits_nothing_is_refused_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        find_files(f"{tmp_path}/*.jsonl", "data.eval_path")

    assert caught.value.message == f"data: no file fits {tmp_path}/*.jsonl"
    assert "data.eval_path" in caught.value.resolution


def test_a_file_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl")

    with pytest.raises(DataError, match=r"data.train_path names .*a.jsonl twice"):
        find_files([f"{tmp_path}/a.jsonl", f"{tmp_path}/*.jsonl"], "data.train_path")


def test_paths_are_shown_in_one_line() -> None:
    assert shown_paths("a.jsonl") == "a.jsonl"
    assert shown_paths(["a.jsonl", WeightedPath(path="b.csv", weight=2.0)]) == "a.jsonl, b.csv"


def test_a_data_set_that_was_not_fetched_is_refused() -> None:
    with pytest.raises(DataError, match=r"data: hf://datasets/org/name is on the Hub") as caught:
        find_files("hf://datasets/org/name", "data.train_path")
    assert "`make`" in caught.value.resolution


@pytest.mark.parametrize("key", ["name", "split", "revision"])
def test_keys_of_a_data_set_beside_a_file_are_refused_not_passed_over(tmp_path: Path, key: str) -> None:
    make(tmp_path, "a.jsonl")
    source = WeightedPath.model_validate({"path": f"{tmp_path}/a.jsonl", key: "test"})

    with pytest.raises(
        DataError, match=rf"a.jsonl is on this machine, and `{key}` is for data sets of the Hub"
    ) as caught:
        find_files([source], "data.train_path")
    assert "hf://datasets/<org>/<name>" in caught.value.resolution


def test_a_pinned_data_set_is_shown_with_its_commit() -> None:
    assert shown_paths([WeightedPath(path="hf://datasets/org/name", revision="abc")]) == "hf://datasets/org/name@abc"
