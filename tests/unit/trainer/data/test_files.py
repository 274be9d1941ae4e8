from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from trainer.data.files import read_samples
from trainer.errors import EXIT_USAGE, DataError

CHAT = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}
TURNS = (("user", "Why?"), ("assistant", "Because."))


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


def chat(*turns: tuple[Any, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.mark.parametrize(
    ("sample", "layout", "turns"),
    [
        (CHAT, "messages", TURNS),
        ({"id": 7, **CHAT, "prompt": "Why?"}, "messages", TURNS),
        (
            {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
            "messages",
            TURNS,
        ),
        ({"prompt": "Why?", "completion": "Because."}, "prompt_completion", TURNS),
        (
            {"prompt": CHAT["messages"][:1], "completion": CHAT["messages"][1:]},
            "prompt_completion",
            TURNS,
        ),
        ({"instruction": "Why?", "output": "Because."}, "alpaca", TURNS),
        ({"instruction": "Why?", "input": "", "output": "Because."}, "alpaca", TURNS),
        (
            {"instruction": "Add.", "input": "1 2", "output": "3", "system": "Count."},
            "alpaca",
            (("system", "Count."), ("user", "Add.\n\n1 2"), ("assistant", "3")),
        ),
    ],
)
def test_the_format_is_found_by_looking(tmp_path: Path, sample: Any, layout: str, turns: Any) -> None:
    path = file_of(tmp_path, sample, sample)

    file = read_samples(path, "data.train_path")

    assert file.format == layout
    assert [(raw.line, raw.turns) for raw in file.samples] == [(1, turns), (2, turns)]
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_blank_lines_byte_order_mark_and_windows_line_ends_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    line = json.dumps(CHAT).encode()
    path.write_bytes(b"\xef\xbb\xbf" + line + b"\r\n\r\n  \n" + line)

    file = read_samples(path, "data.train_path")

    assert [raw.line for raw in file.samples] == [1, 4]


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = file_of(tmp_path, json.dumps(chat(("user", "a\u2028b"), ("assistant", "c\x85d")), ensure_ascii=False))

    file = read_samples(path, "data.train_path")

    assert file.samples[0].turns == (("user", "a\u2028b"), ("assistant", "c\x85d"))


def test_words_are_kept_as_they_are(tmp_path: Path) -> None:
    turns = (("system", " Be kind. "), ("user", "\tWhy?\n"), ("assistant", "é\n\n日本🙂 "))
    path = file_of(tmp_path, chat(*turns))

    assert read_samples(path, "data.train_path").samples[0].turns == turns


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([CHAT, '{"messages": [}'], "2 is not valid JSON at column 15: Expecting value"),
        ([CHAT, "", '{"messages":'], "3 is not valid JSON at column 13: Expecting value"),
        (["[" * 100_000], "1 is nested too deeply"),
        (["[1, 2]"], "1 is a JSON list, not an object"),
        (["null"], "1 is a JSON null, not an object"),
        ([{"text": "Why?"}], "1 does not fit any known format (keys: text)"),
        ([CHAT, {"prompt": "a", "completion": "b"}],
         "2 is in the format prompt_completion, but the lines before are messages"),
        ([{"messages": "Why?"}], "1 messages is a JSON string, not a list"),
        ([{"messages": ["Why?"]}], "1 turn 1 is a JSON string, not an object"),
        ([{**CHAT, "tools": [{"name": "search"}]}], "1 `tools` are not supported"),
        ([{"messages": [*CHAT["messages"], {"role": "assistant", "content": "x", "tool_calls": [1]}]}],
         "1 turn 3 has a key that is not supported: tool_calls"),
        ([chat(("user", "a"), ("tool", "b"))], "1 turn 2 has the role 'tool'"),
        ([{"messages": [{"content": "a"}]}], "1 turn 1 has the role None"),
        ([chat(("user", "a"), ("user", "b"), ("assistant", "c"))], "1 turn 2 is user, where assistant must be"),
        ([chat(("user", "a"), ("assistant", "b"), ("assistant", "c"))],
         "1 turn 3 is assistant, where user must be"),
        ([chat(("assistant", "a"))], "1 turn 1 is assistant, where user must be"),
        ([chat(("user", "a"), ("assistant", "b"), ("system", "c"))], "1 turn 3 is system, where user must be"),
        ([chat(("system", "a"), ("assistant", "b"))], "1 turn 2 is assistant, where user must be"),
        ([chat(("user", "a"), ("assistant", "b"), ("user", "c"))], "1 ends with a user turn without an answer"),
        ([chat(("system", "a"), ("user", "b"))], "1 has no assistant turn: nothing would be learned"),
        ([{"messages": []}], "1 has no assistant turn: nothing would be learned"),
        ([chat(("user", " \n"), ("assistant", "b"))], "1 turn 1 is empty"),
        ([{"prompt": "a", "completion": ""}], "1 turn 2 is empty"),
        ([chat(("user", [{"type": "text"}]), ("assistant", "b"))], "1 turn 1 has a JSON list as content, not text"),
        ([{"instruction": "a", "output": 3}], "1 turn 2 has a JSON number as content, not text"),
        ([{"prompt": ["a"], "completion": "b"}], "1 turn 1 has a JSON list as content, not text"),
        ([chat(("user", "a"), ("assistant", None))], "1 turn 2 has a JSON null as content, not text"),
        ([r'{"prompt": "\ud83d", "completion": "b"}'], "1 turn 1 holds half of a surrogate pair (\\ud83d)"),
    ],
)  # fmt: skip
def test_broken_sample_is_refused_by_its_line(tmp_path: Path, lines: list[Any], problem: str) -> None:
    path = file_of(tmp_path, *lines)

    assert refusal(path).message == f"data: {path}:{problem}"


def test_text_that_is_not_utf8_is_refused_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(json.dumps(CHAT).encode() + b'\n{"prompt": "caf\xe9"}\n')

    assert refusal(path).message == f"data: {path}:2 is not UTF-8 text (byte 16 of the line)"


def test_format_that_was_asked_for_must_fit(tmp_path: Path) -> None:
    path = file_of(tmp_path, CHAT)

    assert refusal(path, "alpaca").message == f"data: {path}:1 does not fit the format alpaca (keys: messages)"
    assert read_samples(path, "data.train_path", "messages").format == "messages"


def test_format_that_was_asked_for_wins_over_others_that_fit(tmp_path: Path) -> None:
    path = file_of(tmp_path, {**CHAT, "prompt": "How?", "completion": "So."})

    file = read_samples(path, "data.train_path", "prompt_completion")

    assert file.samples[0].turns == (("user", "How?"), ("assistant", "So."))


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
