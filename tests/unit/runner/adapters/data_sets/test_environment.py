from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from runner.adapters.data_sets import environment
from runner.adapters.data_sets.environment import run_program
from runner.adapters.packages import ExtraError
from runner.adapters.process import ToolCancelledError
from runner.bootstrap import TARGETS, BootstrapError, Target
from runner.errors import ToolError
from runner.run.run_dir import PROJECT
from runner.world import RealWorld

WORLD = RealWorld({"PATH": "/usr/bin:/bin", "HF_TOKEN": "hf_secret", "HOME": "/none"})


def let_answer(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a shell script in the place of the environment's interpreter."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    monkeypatch.setattr(environment, "python", lambda: str(path))


def test_a_program_reads_a_real_table(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pa.table({"prompt": ["a"]}), tmp_path / "x.parquet")

    answer = run_program("read_rows.py", str(tmp_path / "x.parquet"), str(tmp_path / "rows.jsonl"), world=RealWorld())

    assert answer == {"binary": []}
    assert json.loads((tmp_path / "rows.jsonl").read_text()) == {"prompt": "a"}


def test_a_program_gets_no_secret_and_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_answer(tmp_path, monkeypatch, 'echo "{\\"token\\": \\"$HF_TOKEN\\", \\"offline\\": \\"$HF_HUB_OFFLINE\\"}"')

    assert run_program("read_rows.py", world=WORLD) == {"token": "", "offline": "1"}


def test_a_program_that_is_killed_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_answer(tmp_path, monkeypatch, "echo before >&2; echo MemoryError >&2; exit 1")

    with pytest.raises(ToolError, match=r"data: read_rows.py failed: MemoryError") as caught:
        run_program("read_rows.py", world=WORLD)
    assert caught.value.resolution


def test_a_program_ends_when_the_user_wants_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_answer(tmp_path, monkeypatch, "exec sleep 600")

    with pytest.raises(ToolCancelledError):
        run_program("read_rows.py", world=WORLD, cancel=lambda: True)


def test_an_interpreter_that_has_the_packages_needs_no_other() -> None:
    assert environment.python() == sys.executable


def test_the_environment_is_made_where_the_packages_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[tuple[Path, Target]]()

    def ensure(root: Path, target: Target) -> Path:
        made.append((root, target))
        return Path("/made/bin/python")

    monkeypatch.setattr(environment, "MODULES", ("no_such_package",))
    monkeypatch.setattr(environment, "ensure", ensure)

    assert environment.python() == "/made/bin/python"
    assert made == [(PROJECT, TARGETS["data"])]


def test_an_environment_that_cannot_be_made_is_an_error_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def ensure(root: Path, target: Target) -> Path:
        raise BootstrapError("the package index cannot be reached", "connect to the network")

    monkeypatch.setattr(environment, "MODULES", ("no_such_package",))
    monkeypatch.setattr(environment, "ensure", ensure)

    with pytest.raises(ExtraError, match=r"cannot be installed: the package index cannot be reached") as caught:
        environment.python()
    assert caught.value.resolution == "connect to the network; or write the data as JSON Lines and name that file"
