from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainer.data.rows import format_of, sample_of
from trainer.data.sources.row import Row
from trainer.errors import EXIT_USAGE, DataError

CHAT = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}
TURNS = (("user", "Why?"), ("assistant", "Because."))


def read(values: dict[str, Any], wanted: str = "auto") -> tuple[str, tuple[tuple[str, str], ...]]:
    row = Row(Path("train.jsonl"), 7, values)
    layout = format_of(row, wanted)
    return layout, sample_of(row, layout).turns


def refusal(values: dict[str, Any], wanted: str = "auto") -> DataError:
    with pytest.raises(DataError) as caught:
        read(values, wanted)
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
def test_the_format_is_found_by_looking(sample: Any, layout: str, turns: Any) -> None:
    assert read(sample) == (layout, turns)


def test_words_are_kept_as_they_are() -> None:
    turns = (("system", " Be kind. "), ("user", "\tWhy?\n"), ("assistant", "é\n\n日本🙂 "))

    assert read(chat(*turns))[1] == turns


def test_a_sample_keeps_its_line() -> None:
    assert sample_of(Row(Path("train.jsonl"), 7, CHAT), "messages").line == 7


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"text": "Why?"}, "does not fit any known format (keys: text)"),
        ({"messages": "Why?"}, "messages is a JSON string, not a list"),
        ({"messages": ["Why?"]}, "turn 1 is a JSON string, not an object"),
        ({**CHAT, "tools": [{"name": "search"}]}, "`tools` are not supported"),
        ({"messages": [*CHAT["messages"], {"role": "assistant", "content": "x", "tool_calls": [1]}]},
         "turn 3 has a key that is not supported: tool_calls"),
        (chat(("user", "a"), ("tool", "b")), "turn 2 has the role 'tool'"),
        ({"messages": [{"content": "a"}]}, "turn 1 has the role None"),
        (chat(("user", "a"), ("user", "b"), ("assistant", "c")), "turn 2 is user, where assistant must be"),
        (chat(("user", "a"), ("assistant", "b"), ("assistant", "c")), "turn 3 is assistant, where user must be"),
        (chat(("assistant", "a")), "turn 1 is assistant, where user must be"),
        (chat(("user", "a"), ("assistant", "b"), ("system", "c")), "turn 3 is system, where user must be"),
        (chat(("system", "a"), ("assistant", "b")), "turn 2 is assistant, where user must be"),
        (chat(("user", "a"), ("assistant", "b"), ("user", "c")), "ends with a user turn without an answer"),
        (chat(("system", "a"), ("user", "b")), "has no assistant turn: nothing would be learned"),
        ({"messages": []}, "has no assistant turn: nothing would be learned"),
        (chat(("user", " \n"), ("assistant", "b")), "turn 1 is empty"),
        ({"prompt": "a", "completion": ""}, "turn 2 is empty"),
        (chat(("user", [{"type": "text"}]), ("assistant", "b")), "turn 1 has a JSON list as content, not text"),
        ({"instruction": "a", "output": 3}, "turn 2 has a JSON number as content, not text"),
        ({"prompt": ["a"], "completion": "b"}, "turn 1 has a JSON list as content, not text"),
        (chat(("user", "a"), ("assistant", None)), "turn 2 has a JSON null as content, not text"),
        ({"prompt": "\ud83d", "completion": "b"}, "turn 1 holds half of a surrogate pair (\\ud83d)"),
    ],
)  # fmt: skip
def test_broken_sample_is_refused_by_its_line(values: dict[str, Any], problem: str) -> None:
    assert refusal(values).message == f"data: train.jsonl:7 {problem}"


def test_format_that_was_asked_for_must_fit() -> None:
    assert refusal(CHAT, "alpaca").message == "data: train.jsonl:7 does not fit the format alpaca (keys: messages)"
    assert read(CHAT, "messages")[0] == "messages"


def test_format_that_was_asked_for_wins_over_others_that_fit() -> None:
    turns = read({**CHAT, "prompt": "How?", "completion": "So."}, "prompt_completion")[1]

    assert turns == (("user", "How?"), ("assistant", "So."))
