"""What goes for the next checkpoint when the disk is short, and what never does. The disk is a number here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.trainer.checkpoints.small_checkpoints import make_checkpoint
from trainer.checkpoints import room as module
from trainer.checkpoints.complete import list_newest_first, newest_complete
from trainer.checkpoints.room import make_room
from trainer.errors import EXIT_FAILED, TrainingError

MIB = 1 << 20


class Disk:
    """A disk that has room for so many checkpoints of one MiB, beside the margin."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, holds: int) -> None:
        self.folder, self.holds, self.removed = folder, holds, list[str]()
        monkeypatch.setattr(module, "_size_bytes", lambda path: MIB)
        monkeypatch.setattr(module, "_free_bytes", self.free_bytes)

    def free_bytes(self, folder: Path) -> int:
        return (self.holds - len(list_newest_first(folder))) * MIB + module.MARGIN_BYTES

    def make_room(self, name: str, *kept: str) -> None:
        make_room(name, self.folder, kept=kept, on_removed=self.removed.append)


def test_with_room_nothing_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path, monkeypatch, holds=3)
    for step in (2, 4):
        make_checkpoint(tmp_path, step)

    disk.make_room("checkpoint-6")

    assert disk.removed == []


def test_the_oldest_go_first_and_no_more_than_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path, monkeypatch, holds=4)
    for step in (2, 4, 6, 10):
        make_checkpoint(tmp_path, step)

    disk.make_room("checkpoint-12")

    assert disk.removed == ["checkpoint-2"]
    assert [path.name for path in list_newest_first(tmp_path)] == ["checkpoint-10", "checkpoint-6", "checkpoint-4"]


def test_the_newest_and_the_best_stay_and_the_end_has_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path, monkeypatch, holds=2)
    for step in (2, 4, 6):
        make_checkpoint(tmp_path, step)

    with pytest.raises(TrainingError) as caught:
        disk.make_room("checkpoint-8", "checkpoint-2")

    assert disk.removed == ["checkpoint-4"]
    assert [path.name for path in list_newest_first(tmp_path)] == ["checkpoint-6", "checkpoint-2"]
    assert caught.value.message == f"train: checkpoint-8 does not fit: 5 MiB are needed in {tmp_path}, 4 MiB are free"
    assert caught.value.resolution == "make room (`df -h`), then `make resume`: checkpoint-6 is whole"
    assert caught.value.exit_code == EXIT_FAILED


def test_a_newest_one_that_is_damaged_costs_no_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path, monkeypatch, holds=2)
    for step in (2, 4):
        make_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-4" / "optimizer.pt").write_text("torn")

    disk.make_room("checkpoint-6")

    newest, _ = newest_complete(tmp_path)
    assert newest is not None
    assert newest.step == 2
    assert disk.removed == ["checkpoint-4"]


def test_what_was_cut_off_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path, monkeypatch, holds=2)
    make_checkpoint(tmp_path, 2)
    make_checkpoint(tmp_path, 4, is_complete=False)

    disk.make_room("checkpoint-6")

    assert disk.removed == ["checkpoint-4"]


def test_with_none_that_is_whole_nothing_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path, monkeypatch, holds=1)
    make_checkpoint(tmp_path, 2)
    (tmp_path / "checkpoint-2" / "optimizer.pt").unlink()

    with pytest.raises(TrainingError, match="checkpoint-4 does not fit"):
        disk.make_room("checkpoint-4")

    assert disk.removed == []


def test_before_the_first_nothing_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path, monkeypatch, holds=0)

    disk.make_room("checkpoint-2")

    assert disk.removed == []


def test_a_checkpoint_s_size_is_that_of_its_files(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path, 2)

    assert module._size_bytes(path) == sum(file.stat().st_size for file in path.iterdir())
    assert module._free_bytes(tmp_path) > 0
