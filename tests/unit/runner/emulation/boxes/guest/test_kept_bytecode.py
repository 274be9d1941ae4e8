"""What is imported from a zip file is compiled once, and as Python itself would compile it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from runner.emulation.boxes.guest import kept_bytecode
from runner.emulation.boxes.namespace_box import BYTECODE

PROGRAM = """import sys
sys.path.insert(0, sys.argv[1])
import kept_bytecode
kept_bytecode.FOLDER = sys.argv[2]
plain = kept_bytecode.compile_source
kept_bytecode.compile_source = lambda name, source: print("compiled") or plain(name, source)
kept_bytecode.install()
sys.path.insert(0, sys.argv[3])
import told
print(told.WORD)
"""


def imported(tmp_path: Path, source: str, folder: Path) -> list[str]:
    """Return what a new process says that imports a module with this source from a zip file of its own."""
    archive = tmp_path / "sent.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("told.py", source)
    guest = Path(kept_bytecode.__file__).parent
    argv = [sys.executable, "-c", PROGRAM, str(guest), str(folder), str(archive)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_same_source_is_compiled_once_and_another_one_is_not_taken_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()

    assert imported(tmp_path, "WORD = 'one'", folder) == ["compiled", "one"]
    assert imported(tmp_path, "WORD = 'one'", folder) == ["one"]
    assert imported(tmp_path, "WORD = 'two'", folder) == ["compiled", "two"]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xe3"])
def test_a_damaged_file_is_compiled_again(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    imported(tmp_path, "WORD = 'one'", folder)
    (kept,) = folder.iterdir()
    kept.write_bytes(content)

    assert imported(tmp_path, "WORD = 'one'", folder) == ["compiled", "one"]
    assert imported(tmp_path, "WORD = 'one'", folder) == ["one"]


def test_without_a_folder_everything_works_as_ever(tmp_path: Path) -> None:
    assert imported(tmp_path, "WORD = 'one'", tmp_path / "none")[-1] == "one"


def test_the_box_has_the_folder_that_its_python_writes_to() -> None:
    assert f"/{BYTECODE}" == kept_bytecode.FOLDER
