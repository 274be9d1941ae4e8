"""A disk is full to its last block, and only the disk of a box ever is."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from runner.rehearsal import full_disk
from runner.rehearsal.full_disk import FILLER, SMALLEST_BYTES, fill, fill_disks

BOOKS_BYTES = 3 * 4096
"""What a file system takes for itself of what it calls free."""


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stand in for a file system of a megabyte: it notes what is taken and refuses more than there is."""
    found: list[int] = []
    free = (1 << 20) - BOOKS_BYTES

    def allocate(descriptor: int, offset: int, length: int) -> None:
        assert offset == sum(found)
        if sum(found) + length > free:
            raise OSError(errno.ENOSPC, "No space left on device")
        found.append(length)

    monkeypatch.setattr(full_disk.os, "posix_fallocate", allocate)
    stat = os.statvfs_result((4096, 4096, 256, 256, 256, 0, 0, 0, 0, 255))
    monkeypatch.setattr(full_disk.os, "statvfs", lambda path: stat)
    return found


def test_not_a_block_is_left(taken: list[int], tmp_path: Path) -> None:
    fill(tmp_path / FILLER)

    assert (1 << 20) - BOOKS_BYTES - sum(taken) < SMALLEST_BYTES


def test_the_disk_of_every_box_is_filled(taken: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b1" / "disk").mkdir(parents=True)
    monkeypatch.setattr(Path, "is_mount", lambda path: path.name == "disk")

    assert fill_disks(tmp_path)
    assert (tmp_path / "b1" / "disk" / FILLER).exists()


def test_a_disk_that_is_a_folder_of_this_computer_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "b1" / "disk").mkdir(parents=True)

    assert not fill_disks(tmp_path)
    assert list((tmp_path / "b1" / "disk").iterdir()) == []
