from __future__ import annotations

from pathlib import Path

import pytest

from trainer.config.paths import WeightedPath, is_hub_dataset
from trainer.config.recipe import load_recipe
from trainer.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yml"
    path.write_text(text)
    return path


def test_relative_paths_start_at_the_recipes_folder(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()

    recipe = load_recipe(write(tmp_path, "model: {base_model: ./base}\ndata: {train_path: a.jsonl}\n"))

    assert recipe.data.train_path == str(tmp_path / "a.jsonl")
    assert recipe.model.base_model == str(tmp_path / "base")


def test_a_hub_id_stays_a_hub_id(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "model: {base_model: org/name}\n"))

    assert recipe.model.base_model == "org/name"


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("train_path: 7", "data.train_path is 7: write a path, or a list of paths"),
        ("train_path: ''", "data.train_path is '': write a path, or a list of paths"),
        ("train_path: []", "data.train_path is []: write a path, or a list of paths"),
        ("train_path: [[a]]", "data.train_path is [['a']]: write a path, or a list of paths"),
        ("train_path: {path: a}", "data.train_path is {'path': 'a'}: write a path, or a list of paths"),
        ("train_path: [a, {path: b, wieght: 2}]", "and of `{path: more.jsonl, weight: 0.5}`"),
        ("train_path: [{path: b, weight: yes}]", "and of `{path: more.jsonl, weight: 0.5}`"),
        ("train_path: [{path: b, weight: 0}]", "the weight of b is 0, and has to be above 0 and at most 100"),
        ("train_path: [{path: b, weight: .nan}]", "the weight of b is nan, and has to be above 0"),
        ("eval_path: [{path: b, weight: 2}]", "data.eval_path gives "),
        ("columns: {promt: a}", "data.columns.promt"),
        ("on_bad_sample: drop", "data.on_bad_sample is 'drop'"),
        ("on_long_sample: drop", "data.on_long_sample is 'drop'"),
    ],
)
def test_sources_that_cannot_be_meant_are_refused(tmp_path: Path, keys: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(tmp_path, f"data: {{{keys}}}\n"))

    assert problem in caught.value.message


def test_every_path_of_a_list_starts_at_the_recipe_s_folder(tmp_path: Path) -> None:
    text = "data: {train_path: [a.jsonl, {path: b-*.csv, weight: 0.5}], eval_path: [/e.jsonl]}\n"

    data = load_recipe(write(tmp_path, text)).data

    assert data.train_path == [str(tmp_path / "a.jsonl"), WeightedPath(path=str(tmp_path / "b-*.csv"), weight=0.5)]
    assert data.eval_path == ["/e.jsonl"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("org/name", "hf://datasets/org/name"),
        ("org/name-v1.5", "hf://datasets/org/name-v1.5"),
        ("hf://datasets/org/name", "hf://datasets/org/name"),
        ("hf://datasets/here/folder", "hf://datasets/here/folder"),
        ("https://huggingface.co/datasets/org/name/", "hf://datasets/org/name"),
        ("here/folder", "{folder}/here/folder"),
        ("./org/name", "{folder}/org/name"),
        ("org/train.jsonl", "{folder}/org/train.jsonl"),
        ("org/x.parquet", "{folder}/org/x.parquet"),
        ("org/part-*", "{folder}/org/part-*"),
        ("a/b/c", "{folder}/a/b/c"),
    ],
)
def test_a_data_set_of_the_hub_is_what_is_no_path(tmp_path: Path, written: str, read: str) -> None:
    (tmp_path / "here" / "folder").mkdir(parents=True)

    data = load_recipe(write(tmp_path, f"data: {{train_path: '{written}', eval_path: [{{path: '{written}'}}]}}\n")).data

    assert data.train_path == read.format(folder=tmp_path)
    assert data.eval_path == [WeightedPath(path=data.train_path)]
    assert is_hub_dataset(data.train_path) == read.startswith("hf://")


def test_config_split_and_revision_are_kept(tmp_path: Path) -> None:
    keys = "path: org/name, name: main, split: test, revision: v1, weight: 0.5"

    (found,) = load_recipe(write(tmp_path, f"data: {{train_path: [{{{keys}}}]}}\n")).data.train_path

    assert found == WeightedPath(path="hf://datasets/org/name", name="main", split="test", revision="v1", weight=0.5)
