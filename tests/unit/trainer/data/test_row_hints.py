from __future__ import annotations

from typing import Any

import pytest

from tests.unit.trainer.data.test_rows import CHAT, refusal


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"dialog": CHAT["messages"]}, "set `data.columns: {messages: dialog}`"),
        ({"chat": [{"from": "human", "value": "a"}]}, "set `data.columns: {messages: chat}`"),
        ({"question": "a", "answer": "b"}, "set `data.columns: {prompt: question, completion: answer}`"),
        ({"data": [CHAT, CHAT]}, "`jq '.[\"data\"]' train.jsonl > samples.json`"),
        ({"text": "a"}, "a text alone does not say what the assistant is to learn"),
        ({"words": "a"}, "write one JSON object a line"),
    ],
)
def test_a_shape_that_files_often_have_gets_the_way_to_samples(values: dict[str, Any], hint: str) -> None:
    assert hint in refusal(values).resolution
