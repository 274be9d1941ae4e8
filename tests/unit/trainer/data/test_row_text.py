from __future__ import annotations

from typing import Any

import pytest

from tests.unit.trainer.data.test_rows import chat, refusal, sample
from trainer.data.row_text import unpacked


@pytest.mark.parametrize(
    ("part", "remedy"),
    [
        ({"type": "tool_use", "name": "f", "input": {}}, "write calls as `tool_calls` of the turn"),
        ({"type": "tool_result", "content": "4"}, "results as turns of the role tool"),
        ({"type": "thinking", "thinking": "Hm."}, "write the thought as `reasoning_content`"),
        ({"type": "refusal", "refusal": "No."}, "write its words as a text part"),
        ({"type": "input_audio"}, "take samples with pictures, sound or video out"),
    ],
)
def test_a_part_that_is_no_text_is_refused_with_its_own_way_out(part: dict[str, Any], remedy: str) -> None:
    error = refusal(chat(("user", "a"), ("assistant", [part])))

    assert error.message == f"data: train.jsonl:7 turn 2 has a part that is not text: {part['type']}"
    assert remedy in error.resolution


@pytest.mark.parametrize("part", [["a"], None, 7, {"type": "text", "value": "a"}])
def test_a_part_without_a_form_is_to_be_written_as_text(part: Any) -> None:
    assert refusal(chat(("user", [part]), ("assistant", "b"))).resolution == 'write it as {"type": "text", "text": "…"}'


@pytest.mark.parametrize("key", ["weight", "train", "mask", "train_detail"])
def test_a_part_of_a_turn_cannot_be_left_out_of_what_is_learned(key: str) -> None:
    parts = [{"type": "text", "text": "wrong", key: 0}, {"type": "text", "text": "right"}]

    error = refusal(chat(("user", "a"), ("assistant", parts)))

    assert f"`{key}`: parts of a turn cannot be left out of what is learned" in error.message
    assert "weight: 0" in error.resolution


def test_keys_of_a_part_are_listed_or_refused_as_those_of_a_turn() -> None:
    harmless = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "annotations": []}

    assert sample(chat(("user", [harmless]), ("assistant", "b"))).unused == ("cache_control",)
    assert refusal(chat(("user", [{**harmless, "mood": "good"}]), ("assistant", "b"))).message == (
        "data: train.jsonl:7 turn 1 has a key that is not supported: mood"
    )


@pytest.mark.parametrize(("value", "expected"), [(" [1]", [1]), ("[1", "[1"), ('{"a": 1}', '{"a": 1}'), ([1], [1])])
def test_only_a_json_text_of_a_list_is_unpacked(value: Any, expected: Any) -> None:
    assert unpacked(value) == expected
