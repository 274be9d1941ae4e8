from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.trainer.small_facts import small_facts
from trainer.config.paths import WeightedPath
from trainer.config.sections import DataSection
from trainer.data import collected, encoding
from trainer.data.checked import CheckBlock
from trainer.data.encoding import EncodePart
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


def test_a_run_reads_and_encodes_large_data_once_and_the_machine_its_files_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for module in (collected, encoding):
        monkeypatch.setattr(module, "LARGE_BYTES", 0)
        monkeypatch.setattr(module, "processes_here", lambda: 1)
    for work in (CheckBlock, EncodePart):

        def counted(*given: Any, name: str = work.__name__, real: Any = work.__call__) -> Any:
            calls.append(name)
            return real(*given)

        monkeypatch.setattr(work, "__call__", counted)
    monkeypatch.setenv("DOUSE_CACHE", str(tmp_path / "cache"))
    rows = [
        {"prompt": str(n), "completion": "x"} if n % 2 else {"instruction": str(n), "output": "y"} for n in range(9)
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = DataSection(train_path=str(path), format="any", chat_template_path="/home/me/template.jinja")

    encode(load_dataset(data, 1), small_facts(), data)  # the plan
    plan = calls.copy()
    there = write_staged(data, 1, tmp_path).model_copy(update={"chat_template_path": "/machine/template.jinja"})
    staging = calls[len(plan) :]
    for _ in range(2):  # the trainer, and acceptance in a process of its own
        encode(load_dataset(there, 1), small_facts(), there)

    assert (plan, staging) == (["CheckBlock", "EncodePart", "EncodePart"], [])
    assert calls[len(plan) :] == ["CheckBlock", "CheckBlock"]
