from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainer.export.checksums import CHECKSUMS, checksum_problems, list_again, write_checksums

DIGEST = "0" * 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "adapter"
    (found / "b").mkdir(parents=True)
    (found / "a.txt").write_text("a")
    (found / "b" / "c d.txt").write_text("c")
    write_checksums(found)
    return found


def test_a_folder_that_was_just_listed_is_whole(folder: Path) -> None:
    assert checksum_problems(folder) == []


def test_sha256sum_reads_the_list(folder: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", CHECKSUMS], cwd=folder, capture_output=True, text=True, timeout=30
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "a.txt: OK\nb/c d.txt: OK\n", "")


def test_the_list_does_not_name_itself_and_is_the_same_each_time(folder: Path) -> None:
    before = (folder / CHECKSUMS).read_text()
    write_checksums(folder)

    assert (folder / CHECKSUMS).read_text() == before
    assert [line.split("  ")[1] for line in before.splitlines()] == ["a.txt", "b/c d.txt"]


def test_a_missing_list_is_a_failure(folder: Path) -> None:
    (folder / CHECKSUMS).unlink()

    assert checksum_problems(folder) == [f"{CHECKSUMS} is missing"]


def test_an_empty_list_names_no_file(folder: Path) -> None:
    (folder / CHECKSUMS).write_bytes(b"")

    assert checksum_problems(folder) == ["a.txt has no checksum", "b/c d.txt has no checksum"]


def test_a_changed_an_unlisted_and_a_missing_file_are_failures(folder: Path) -> None:
    (folder / "a.txt").write_text("A")
    (folder / "extra.txt").write_text("x")
    (folder / "b" / "c d.txt").unlink()

    assert checksum_problems(folder) == [
        "a.txt does not match its checksum",
        "extra.txt has no checksum",
        "b/c d.txt has a checksum and is missing",
    ]


@pytest.mark.parametrize("name", ["/etc/hostname", "../beside.txt", "b/../../beside.txt", ".."])
def test_a_path_out_of_the_folder_is_refused_even_where_the_checksum_is_right(folder: Path, name: str) -> None:
    (folder.parent / "beside.txt").write_text("a")
    line = (folder / CHECKSUMS).read_text().splitlines()[0].replace("a.txt", name)
    with (folder / CHECKSUMS).open("a") as file:
        file.write(f"{line}\n")

    assert checksum_problems(folder) == [f"{CHECKSUMS} lists a file outside of the folder: {name!r}"]


def test_a_link_is_no_file_of_the_folder(folder: Path) -> None:
    (folder.parent / "beside.txt").write_text("a")
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to("../beside.txt")

    assert checksum_problems(folder) == ["a.txt is a link, not a file"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"rubbish\n", f"{CHECKSUMS} holds a line that is no checksum: 'rubbish'"),
        (f"{DIGEST}  \n".encode(), f"{CHECKSUMS} holds a line that is no checksum: '{DIGEST}  '"),
        (f"{DIGEST[1:]}  a.txt\n".encode(), f"{CHECKSUMS} holds a line that is no checksum: '{DIGEST[1:]}  a.txt'"),
        (f"{DIGEST}  a.txt\n\n".encode(), f"{CHECKSUMS} holds a line that is no checksum: ''"),
        (f"{DIGEST}  a.txt\n{DIGEST}  a.txt\n".encode(), f"{CHECKSUMS} lists a.txt twice"),
        (b"\xff\xfe", f"{CHECKSUMS} is not UTF-8 text"),
    ],
)
def test_a_list_that_is_none_is_one_failure(folder: Path, content: bytes, problem: str) -> None:
    (folder / CHECKSUMS).write_bytes(content)

    assert checksum_problems(folder) == [problem]


def test_listing_a_file_again_signs_no_other(folder: Path) -> None:
    (folder / "a.txt").write_text("damaged")
    (folder / "verdict.json").write_text("{}")

    list_again(folder, ("verdict.json",))

    assert checksum_problems(folder) == ["a.txt does not match its checksum"]


@pytest.mark.parametrize("content", [None, b"rubbish"])
def test_a_list_that_is_missing_or_broken_is_not_made_good(folder: Path, content: bytes | None) -> None:
    (folder / CHECKSUMS).unlink()
    if content is not None:
        (folder / CHECKSUMS).write_bytes(content)

    list_again(folder, ("a.txt",))

    assert len(checksum_problems(folder)) == 1


def test_reading_the_list_needs_no_torch() -> None:
    code = "import sys, trainer.export.checksums; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
