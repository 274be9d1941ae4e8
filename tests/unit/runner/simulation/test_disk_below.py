"""The disk in memory above a folder: what programs make is seen, and what is renamed or removed is so in both."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.simulation.disk_below import DiskAbove
from runner.simulation.world import BEGINNING


def disk_above(runs: Path) -> DiskAbove:
    return DiskAbove(lambda: BEGINNING, lambda: 7, lambda: None, lambda: None, runs=runs)


def test_what_a_program_has_made_is_there(tmp_path: Path) -> None:
    disk, run = disk_above(tmp_path), tmp_path / "run"
    disk.make_folder(run / "logs")
    (run / "adapter").mkdir()
    (run / "adapter" / "config.json").write_bytes(b"{}")
    disk.write(run / "state.json", b"1")

    assert disk.names(run) == ["adapter", "logs", "state.json"]
    assert (disk.is_dir(run / "adapter"), disk.is_file(run / "adapter" / "config.json")) == (True, True)
    assert disk.read(run / "adapter" / "config.json") == b"{}"
    assert (run / "logs").is_dir()


def test_the_runs_own_files_are_in_memory_alone(tmp_path: Path) -> None:
    disk, run = disk_above(tmp_path), tmp_path / "run"
    disk.write(run / "state.json", b"1")
    (run / "host.json").write_bytes(b"1")

    assert list(run.iterdir()) == [run / "host.json"]
    assert not disk.is_file(run / "host.json")


def test_a_folder_that_came_home_is_moved_and_removed(tmp_path: Path) -> None:
    disk, run = disk_above(tmp_path), tmp_path / "run"
    (run / "adapter.part").mkdir(parents=True)
    (run / "adapter.part" / "one").write_bytes(b"1")

    disk.rename(run / "adapter.part", run / "adapter")
    assert disk.read(run / "adapter" / "one") == b"1"
    disk.remove_tree(run / "adapter")

    assert not disk.is_dir(run / "adapter")


def test_outside_of_the_runs_nothing_is_below(tmp_path: Path) -> None:
    disk = disk_above(tmp_path / "runs")
    (tmp_path / "cache").mkdir()

    assert not disk.is_dir(tmp_path / "cache")
    with pytest.raises(FileNotFoundError):
        disk.read(tmp_path / "cache" / "none")
