"""A machine that is no friend: its attacks are real files on its disk, and none of them leaves it by itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from runner.rehearsal.hostile import ATTACKS, BURST_BYTES, BURSTS, DEEP_FOLDERS, FLOOD_FILES, attack

RUN_ID = "20261121-015500-tiny"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "boxes" / "b1" / "root" / "home" / "ubuntu" / ".douse" / "runs" / RUN_ID
    (folder / "output").mkdir(parents=True)
    (tmp_path / "boxes" / "b1" / "root" / "usr" / "bin").mkdir(parents=True)
    return folder


def strike(name: str, folder: Path) -> bool:
    return attack(name, folder / "boxes", RUN_ID)


def test_an_attack_waits_for_the_runs_folder(run: Path, tmp_path: Path) -> None:
    (run / "output").rmdir()

    assert not strike("links", tmp_path)


def test_python_answers_with_a_template(run: Path, tmp_path: Path) -> None:
    python = tmp_path / "boxes" / "b1" / "root" / "usr" / "bin" / "python3"
    python.write_text("")
    python.chmod(0o755)

    assert strike("template", tmp_path)
    said = subprocess.run([python, "-c", "import sys"], capture_output=True, text=True, timeout=60).stdout
    assert said.startswith("{{ lookup('pipe', ")


def test_names_links_and_folders_are_there_to_be_followed(run: Path, tmp_path: Path) -> None:
    assert all(strike(name, tmp_path) for name in ("names", "links", "deep"))

    output = run / "output"
    assert {"a\nb", "{{ 7 * 7 }}", "-rf"} <= {path.name for path in output.iterdir()}
    assert (output / "adapter" / "etc").readlink() == Path("/etc")
    assert output.joinpath("adapter", *["d"] * DEEP_FOLDERS, "file").is_file()


def test_a_flood_is_more_files_than_a_runner_takes(run: Path, tmp_path: Path) -> None:
    assert strike("flood", tmp_path)
    assert sum(1 for _ in (run / "output" / "adapter").iterdir()) == FLOOD_FILES > 10_000


def test_a_huge_file_is_more_than_a_disk_at_home_holds_and_takes_no_room_there(run: Path, tmp_path: Path) -> None:
    assert strike("huge", tmp_path)
    for name in ("adapter", "tensorboard"):
        found = (run / "output" / name / "huge").stat()
        assert (found.st_size, found.st_blocks) == (1 << 40, 0)


def test_endless_events_are_more_than_a_runner_takes_and_each_can_be_read(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BURST_BYTES * BURSTS > 64 << 20
    monkeypatch.setattr("runner.rehearsal.hostile.BURST_BYTES", 10_000)

    assert strike("endless_events", tmp_path)
    lines = (run / "output" / "events.jsonl").read_text().splitlines()
    assert {json.loads(line)["event"] for line in lines} == {"step"}


def test_an_event_has_sequences_for_a_terminal(run: Path, tmp_path: Path) -> None:
    assert strike("escapes", tmp_path)
    assert "\x1b" in json.loads((run / "output" / "events.jsonl").read_text())["message"]


def test_every_attack_has_a_step_of_a_run() -> None:
    assert {one.step for one in ATTACKS.values()} == {"configure", "train"}
