from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from trainer.data.files import read_samples
from trainer.errors import EXIT_USAGE, DataError

CHAT = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}
TURNS = [("user", "Why?"), ("assistant", "Because.")]


def file_of(folder: Path, *lines: Any) -> Path:
    path = folder / "train.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def refusal(path: Path, wanted: str = "auto") -> DataError:
    with pytest.raises(DataError) as caught:
        read_samples(path, "data.train_path", wanted)
    assert caught.value.exit_code == EXIT_USAGE
    assert "\n" not in caught.value.message
    assert caught.value.resolution
    return caught.value


def test_every_line_of_a_file_becomes_a_sample(tmp_path: Path) -> None:
    path = file_of(tmp_path, CHAT, "", CHAT)

    file = read_samples(path, "data.train_path")

    assert file.format == "messages"
    assert [(raw.line, [(message.role, message.content) for message in raw.turns]) for raw in file.samples] == [
        (1, TURNS), (3, TURNS)
    ]  # fmt: skip
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_keeps_one_format(tmp_path: Path) -> None:
    path = file_of(tmp_path, CHAT, {"prompt": "a", "completion": "b"})

    assert refusal(path).message == (
        f"data: {path}:2 is in the format prompt_completion, but the lines before are messages"
    )


def test_format_that_was_asked_for_must_fit(tmp_path: Path) -> None:
    path = file_of(tmp_path, CHAT)

    assert refusal(path, "alpaca").message == f"data: {path}:1 does not fit the format alpaca (keys: messages)"
    assert read_samples(path, "data.train_path", "messages").format == "messages"


def test_missing_file_is_refused_with_the_key_that_names_it(tmp_path: Path) -> None:
    error = refusal(tmp_path / "none.jsonl")

    assert error.message == f"data: {tmp_path}/none.jsonl does not exist"
    assert error.resolution == "set data.train_path to an existing .jsonl file"


def test_folder_is_refused_with_the_file_that_may_be_meant(tmp_path: Path) -> None:
    error = refusal(tmp_path)

    assert error.message == f"data: {tmp_path} is a folder, not a file"
    assert str(tmp_path / "train.jsonl") in error.resolution


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(content)

    assert refusal(path).message == f"data: {path} holds no sample"
