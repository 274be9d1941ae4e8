"""Folders of this machine that a life has made."""

from __future__ import annotations

from pathlib import Path

from runner.simulation.real_folder import clear


def test_a_folder_goes_with_all_in_it_and_what_its_links_lead_to_stays(tmp_path: Path) -> None:
    other, folder = tmp_path / "other", tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "file").write_bytes(b"1")
    other.mkdir()
    (other / "kept").write_bytes(b"2")
    (folder / "a" / "b" / "link").symlink_to(other)

    clear(str(folder))
    clear(str(folder))  # it is gone

    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert (other / "kept").read_bytes() == b"2"
