from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.unit.trainer.small_facts import small_facts
from trainer.config import DataSection, WeightedPath
from trainer.data.samples import encode, load_dataset
from trainer.data.staged import write_staged
from trainer.files import sha256_of_file


def test_what_is_staged_has_the_same_samples_tokens_and_sums(tmp_path: Path) -> None:
    rows: list[Any] = [{"question": f"What is {n}?", "answer": f"It is {n}. é", "note": None} for n in range(20)]
    (tmp_path / "a.json").write_text(json.dumps([*rows, {"question": "none"}], indent=1))
    (tmp_path / "b.csv").write_text("instruction,output\n" + "".join(f"Add {n},00{n}\n" for n in range(10)))
    data = DataSection(
        train_path=[str(tmp_path / "a.json"), WeightedPath(path=str(tmp_path / "b.csv"), weight=1.5)],
        columns={"prompt": "question", "completion": "answer"},
        on_bad_sample="skip",
        on_long_sample="skip",
        max_train_samples=22,
    )
    planned = encode(load_dataset(data, 3), small_facts(), data)

    section = write_staged(data, 3, tmp_path)

    again = load_dataset(section, 99)
    assert (section.train_path, section.eval_path) == (str(tmp_path / "train.jsonl"), str(tmp_path / "eval.jsonl"))
    assert (again.train_sha256, again.eval_sha256) == (planned.dataset.train_sha256, planned.dataset.eval_sha256)
    assert again.train_sha256 == sha256_of_file(tmp_path / "train.jsonl")
    encoded = encode(again, small_facts(), section)
    assert encoded.train == planned.train
    assert encoded.eval == planned.eval
    assert (encoded.summary.train, encoded.summary.eval) == (planned.summary.train, planned.summary.eval)
    assert encoded.summary.format == planned.summary.format == "prompt_completion + alpaca"


def test_a_single_format_stays_the_only_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps({"prompt": str(n), "completion": "x"}) + "\n" for n in range(5)))

    section = write_staged(DataSection(train_path=str(path), eval_fraction=0.4), 1, tmp_path)

    assert (section.format, section.columns) == ("auto", {})
    assert json.loads((tmp_path / "eval.jsonl").read_text().splitlines()[0]).keys() == {"prompt", "completion"}
