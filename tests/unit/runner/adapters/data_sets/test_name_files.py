"""Which files a split is, by the card and the names of a data set's files; `datasets` itself says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runner.adapters.data_sets.name_files import files_of, main

CARD = """---
configs:
- config_name: main
  data_files:
  - {split: train, path: main/train-*}
  - {split: test, path: main/test-*}
- config_name: socratic
  data_files: socratic/*
---
"""


def make(folder: Path, *names: str, card: str = "") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    (folder / "README.md").write_text(card)
    return folder


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    names = ("main/train-1.parquet", "main/train-0.parquet", "main/test-0.parquet", "socratic/x.parquet")
    return make(tmp_path, *names, card=CARD)


@pytest.mark.parametrize(
    ("name", "split", "expected"),
    [
        ("main", "train", {"config": "main", "files": ["main/train-0.parquet", "main/train-1.parquet"]}),
        ("main", "test", {"config": "main", "files": ["main/test-0.parquet"]}),
        ("socratic", "train", {"config": "socratic", "files": ["socratic/x.parquet"]}),
        (None, "train", {"problem": "no config", "known": ["main", "socratic"]}),
        ("mian", "train", {"problem": "config", "known": ["main", "socratic"]}),
        ("main", "eval", {"problem": "split", "known": ["train", "test"]}),
        ("main", "", {"problem": "split", "known": ["train", "test"]}),
    ],
)
def test_config_and_split_lead_to_files(
    configs: Path, name: str | None, split: str, expected: dict[str, object]
) -> None:
    assert files_of(configs, name, split) == expected


def test_without_a_card_the_names_decide(tmp_path: Path) -> None:
    make(tmp_path, "data/train.csv", "data/test.csv")

    assert files_of(tmp_path, None, "train") == {"config": "default", "files": ["data/train.csv"]}


def test_another_kind_of_data_is_named(tmp_path: Path) -> None:
    assert files_of(make(tmp_path, "train/a.png"), None, "train") == {"problem": "kind", "known": ["imagefolder"]}


def test_a_setting_that_changes_rows_is_named(tmp_path: Path) -> None:
    card = "---\nconfigs:\n- {config_name: default, data_files: a.json, field: rows}\n---\n"

    assert files_of(make(tmp_path, "a.json", card=card), None, "train") == {"problem": "settings", "known": ["field"]}


def test_what_the_library_raises_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["name_files.py", str(make(tmp_path)), "", "train"])

    main()

    answer = json.loads(capsys.readouterr().out)
    assert answer["problem"] == "card"
    assert "any data files" in answer["known"][0]
