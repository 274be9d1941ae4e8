from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainer.data.sources.paths import find_files
from trainer.errors import DataError


def save(folder: Path, *names: str) -> Path:
    """Make a folder as ``Dataset.save_to_disk`` does, with the bytes left out."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"")
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    return folder


def test_a_saved_data_set_is_its_files_in_the_order_of_its_rows(tmp_path: Path) -> None:
    folder = save(tmp_path / "saved", "data-00001-of-00002.arrow", "data-00000-of-00002.arrow")

    assert [file.path.name for file in find_files(str(folder), "data.train_path")] == [
        "data-00001-of-00002.arrow",
        "data-00000-of-00002.arrow",
    ]


def test_saved_splits_are_named(tmp_path: Path) -> None:
    save(tmp_path / "saved" / "train", "data-00000-of-00001.arrow")
    (tmp_path / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')

    with pytest.raises(DataError, match="saved holds the splits train, test") as caught:
        find_files(str(tmp_path / "saved"), "data.train_path")
    assert caught.value.resolution == f"set data.train_path to one of them, such as {tmp_path}/saved/train"


@pytest.mark.parametrize("state", ["", "{}", '{"_data_files": [{"filename": "data-7.arrow"}]}'])
def test_a_saved_data_set_that_is_not_whole_is_refused(tmp_path: Path, state: str) -> None:
    folder = save(tmp_path / "saved", "data-0.arrow")
    (folder / "state.json").write_text(state)

    with pytest.raises(DataError, match=r"saved is a saved data set, and .* is missing"):
        find_files(str(folder), "data.train_path")
