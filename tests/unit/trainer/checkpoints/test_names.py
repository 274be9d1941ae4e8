"""Names in a store and in a folder; anybody may have put a file there."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.checkpoints.complete import list_newest_first
from trainer.checkpoints.names import is_checkpoint, split_names
from trainer.checkpoints.pull import pull
from trainer.checkpoints.push import push

ODD = ["checkpoint-", "checkpoint-\N{SUPERSCRIPT TWO}", "checkpoint-" + "9" * 200, "checkpoint--1", "checkpoint-4.part"]


@pytest.mark.parametrize("name", ODD)
def test_a_folder_with_an_odd_name_is_no_checkpoint(name: str, tmp_path: Path) -> None:
    (tmp_path / "here" / name).mkdir(parents=True)
    (tmp_path / "here" / name / "notes.txt").write_text("x")

    assert not is_checkpoint(name)
    assert split_names([f"in/{name}/notes.txt"]) == ([f"in/{name}/notes.txt"], [])
    assert list_newest_first(tmp_path / "here") == []
    push(tmp_path / "here", f"file://{tmp_path}/store")
    if not name.endswith(".part"):
        assert pull(f"file://{tmp_path}/store", tmp_path / "back").checkpoint is None


def test_the_folder_of_a_checkpoint_is_found_at_any_depth() -> None:
    names = ["checkpoint-4/a", "in/checkpoint-12/b/c", "in/checkpoint-12/d", "checkpoint-7"]

    assert split_names(names) == (["checkpoint-7"], ["checkpoint-4", "in/checkpoint-12"])
