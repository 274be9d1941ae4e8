from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner.adapters.data_sets import tables
from runner.adapters.data_sets.tables import UNPACKING, read_tables
from runner.world import RealWorld
from trainer.config.sections import DataSection
from trainer.data.samples import load_dataset
from trainer.errors import DataError

ROWS = [{"prompt": f"Where is {n}?", "completion": f"There, {n}.", "id": None} for n in range(40)]


class Program:
    """A stand-in for what reads tables elsewhere."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer, self.asked = answer, list[str]()

    def __call__(self, name: str, table: str, lines: str, **_: Any) -> dict[str, Any]:
        self.asked.append(f"{name} {Path(table).name}")
        Path(lines).write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        return self.answer


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1\x15")
    return path


def test_a_table_is_read_once_and_its_rows_are_samples(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, seen = Program({"binary": []}), list[tuple[str, int, int]]()
    monkeypatch.setattr(tables, "run_program", program)

    for _ in range(2):
        read_tables([table], RealWorld(), lambda *how: seen.append(how))

    dataset = load_dataset(DataSection(train_path=str(table)), seed=0)
    assert program.asked == ["read_rows.py x.parquet"]
    assert seen == [(UNPACKING, 5, 5)]
    assert len(dataset.train) + len(dataset.eval) == len(ROWS)
    assert dataset.format == "prompt_completion"


def test_other_files_are_left_to_their_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "run_program", None)
    (tmp_path / "x.jsonl").write_text("{}")

    read_tables([tmp_path / "x.jsonl", tmp_path, tmp_path / "missing.parquet"], RealWorld(), lambda *_: None)


def test_a_problem_of_the_program_is_said_of_the_file(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "run_program", Program({"problem": "the column 'x' has the type duration[s]"}))

    with pytest.raises(DataError, match=r"x.parquet cannot be read: the column 'x' has the type duration\[s\]"):
        read_tables([table], RealWorld(), lambda *_: None)
    monkeypatch.setattr(tables, "run_program", None)
    with pytest.raises(TypeError):  # nothing is kept of it
        read_tables([table], RealWorld(), lambda *_: None)
