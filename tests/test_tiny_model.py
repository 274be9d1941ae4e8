from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.tiny_model import CHAT_TEMPLATE, VOCABULARY, make_tiny_model


def test_tiny_model_is_the_same_bytes_every_time(tiny_model: Path, tmp_path: Path) -> None:
    again = make_tiny_model(tmp_path / "again")

    for name in ("model.safetensors", "tokenizer.json", "config.json", "chat_template.jinja"):
        assert _sha256(again / name) == _sha256(tiny_model / name), name


def test_tiny_model_with_another_seed_has_other_weights_and_the_same_tokenizer(
    tiny_model: Path, tmp_path: Path
) -> None:
    other = make_tiny_model(tmp_path / "other", seed=1)

    assert _sha256(other / "model.safetensors") != _sha256(tiny_model / "model.safetensors")
    assert _sha256(other / "tokenizer.json") == _sha256(tiny_model / "tokenizer.json")


def test_tiny_tokenizer_fills_its_vocabulary_and_knows_the_template(tiny_model: Path) -> None:
    vocabulary = json.loads((tiny_model / "tokenizer.json").read_text())["model"]["vocab"]

    assert len(vocabulary) == VOCABULARY
    assert (tiny_model / "chat_template.jinja").read_text() == CHAT_TEMPLATE


def test_tiny_dataset_has_no_question_in_both_files(tiny_dataset: Path) -> None:
    train = (tiny_dataset / "train.jsonl").read_text().splitlines()
    held_out = (tiny_dataset / "eval.jsonl").read_text().splitlines()

    assert (len(train), len(set(train)), len(held_out)) == (60, 60, 8)
    assert not set(train) & set(held_out)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
