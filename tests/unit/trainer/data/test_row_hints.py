from __future__ import annotations

from typing import Any

import pytest

from tests.unit.trainer.data.test_rows import CHAT, refusal


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"dialog": CHAT["messages"]}, "set `data.columns: {messages: dialog}`"),
        ({"chat": [{"from": "human", "value": "a"}]}, "set `data.columns: {messages: chat}`"),
        ({"chat: all": [{"from": "human", "value": "a"}]}, 'set `data.columns: {messages: "chat: all"}`'),
        ({"question": "a", "answer": "b"}, "set `data.columns: {prompt: question, completion: answer}`"),
        ({"data": [CHAT, CHAT]}, "`jq '.[\"data\"]' train.jsonl > samples.json`"),
        ({"text": "a"}, "a text alone does not say what the assistant is to learn"),
        ({"words": "a"}, "write one JSON object a line"),
    ],
)
def test_a_shape_that_files_often_have_gets_the_way_to_samples(values: dict[str, Any], hint: str) -> None:
    assert hint in refusal(values).resolution


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("weight", 0, "set `weight` on the turns of the assistant, or take out the samples"),
        ("masked", True, "set `masked` on the turns of the assistant, or take out the samples"),
        ("reasoning", "Hm.", "write it into the answer as <think>…</think>, or into its turn as `reasoning_content`"),
        ("System Message", "Be short.", 'set `data.columns: {system: "System Message"}`'),
        ("history", [["q", "a"]], "write its turns in front of the others"),
        ("quality", 3, "set `data.ignore_keys: [quality]` if nothing is lost"),
        ("Unnamed: 3", "a note", 'set `data.ignore_keys: ["Unnamed: 3"]` if nothing is lost'),
        ("yes", 3, 'set `data.ignore_keys: ["yes"]` if nothing is lost'),
    ],
)
def test_a_key_that_has_its_place_elsewhere_is_not_to_be_ignored(key: str, value: Any, hint: str) -> None:
    assert refusal({**CHAT, key: value}).resolution.startswith(hint)


def test_all_unknown_keys_of_a_sample_or_of_a_turn_are_named_at_once() -> None:
    of_sample = refusal({**CHAT, "views": 3, "id": 1, "avatar url": "x"})
    of_turn = refusal({"messages": [{**CHAT["messages"][0], "mood": "x", "id": 1, "tone": "y"}, CHAT["messages"][1]]})

    assert of_sample.message.endswith("has keys that are not used: views, avatar url")
    assert of_sample.resolution.startswith(
        'set `data.ignore_keys: [views, "avatar url"]` if nothing is lost by leaving'
    )
    assert of_turn.message.endswith("turn 1 has keys that are not supported: mood, tone")
    assert of_turn.resolution.startswith("set `data.ignore_keys: [mood, tone]`")


def test_tools_on_a_turn_have_their_place_beside_the_turns() -> None:
    asked, answer = CHAT["messages"]

    error = refusal({"messages": [{**asked, "tools": [{"name": "look"}]}, answer]})

    assert error.resolution == "put the tools beside the turns, as `tools` of the sample"


def test_turns_in_the_notation_of_python_are_named_for_what_they_are() -> None:
    assert "json.dumps" in refusal({"messages": "[{'role': 'user', 'content': None}]"}).resolution
