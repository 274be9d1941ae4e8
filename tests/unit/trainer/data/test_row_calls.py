from __future__ import annotations

from typing import Any

import pytest

from tests.unit.trainer.data.test_rows import CALLING, CHAT, LOOK, OFFERED, assistant, refusal, sample
from trainer.data.message import TOOLS, Message, ToolCall

FUNCTION = {"name": "look", "parameters": {}}
OLDER = {
    "functions": [FUNCTION],
    "messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": '{"city": "Ems"}'}},
        {"role": "function", "name": "look", "content": "wet"},
        {"role": "assistant", "content": "Wet.", "function_call": None},
    ],
}


def calls_of(call: Any) -> tuple[ToolCall, ...]:
    """Return the calls that are read from one of a turn."""
    return sample({**CHAT, **assistant(tool_calls=[call])}).turns[1].calls


def test_functions_of_older_files_become_tools_and_calls() -> None:
    assert sample(OLDER).turns == (
        Message(TOOLS, OFFERED),
        Message("user", "Weather?"),
        Message("assistant", "", calls=(ToolCall("look", LOOK.arguments),)),
        Message("tool", "wet", name="look"),
        Message("assistant", "Wet."),
    )


def test_tools_with_an_input_schema_get_parameters() -> None:
    tools = [{"name": "look", "input_schema": {}}]

    assert sample({**CALLING, "tools": tools}).turns[0] == Message(TOOLS, OFFERED)


def test_each_tool_may_be_a_json_text() -> None:
    tools = ['{"name": "look", "parameters": {}}']

    assert sample({**CALLING, "tools": tools}).turns[0] == Message(TOOLS, OFFERED)
    assert "one has no name" in refusal({**CALLING, "tools": ["look"]}).message


def test_a_turn_of_calls_may_hold_several_and_may_be_kept_out_of_what_is_learned() -> None:
    said = '[{"name": "look", "arguments": {"city": "Ems"}}, {"name": "stop", "arguments": {}}]'
    turns = [
        {"from": "human", "value": "Weather?"},
        {"from": "function_call", "value": said, "weight": 0},
        {"from": "gpt", "value": "Wet."},
    ]

    raw = sample({"conversations": turns})

    calls = (ToolCall("look", '{"city": "Ems"}'), ToolCall("stop", "{}"))
    assert raw.turns[1] == Message("assistant", "", calls=calls, learned=False)
    assert raw.unused == ()


@pytest.mark.parametrize("arguments", [None, "", "{}", "null", {}, []])
def test_a_call_may_have_no_arguments(arguments: Any) -> None:
    assert calls_of({"function": {"name": "look", "arguments": arguments}}) == (ToolCall("look", "{}"),)


def test_parameters_count_where_there_are_no_arguments() -> None:
    call = {"name": "look", "arguments": None, "parameters": {"city": "Ems"}, "index": 0}

    assert calls_of(call) == (ToolCall("look", '{"city": "Ems"}'),)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ({"name": "look", "args": {"city": "Ems"}}, "turn 2 calls 'look' with a key that is not supported: args"),
        ({"name": "look", "input": {"city": "Ems"}}, "turn 2 calls 'look' with a key that is not supported: input"),
        ({"function": {"name": "look", "kwargs": {}}}, "turn 2 calls 'look' with a key that is not supported: kwargs"),
        ({"function": {"name": "look"}, "output": "wet"},
         "turn 2 calls 'look' with a key that is not supported: output"),
        ({"name": "look", "arguments": '{"a": NaN}'},
         "turn 2 calls 'look' with a number that JSON does not have (NaN or Infinity)"),
        ({"name": "look", "arguments": {"a": 1}, "parameters": {"b": 1}},
         "turn 2 calls 'look' with `arguments` and `parameters`"),
        ({"name": "look", "arguments": 0}, "turn 2 calls 'look' with arguments that are a JSON number, not an object"),
        ({"name": "look", "arguments": False},
         "turn 2 calls 'look' with arguments that are a JSON boolean, not an object"),
    ],
)  # fmt: skip
def test_a_call_that_would_lose_something_is_refused_by_name(call: dict[str, Any], problem: str) -> None:
    assert refusal(assistant(tool_calls=[call])).message == f"data: train.jsonl:7 {problem}"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({**CALLING, "functions": [FUNCTION]}, "has `tools` and `functions`"),
        (assistant(tool_calls=[FUNCTION], function_call=FUNCTION), "turn 2 has `tool_calls` and `function_call`"),
        ({**CHAT, "functions": "[{"}, "has `functions` that are not valid JSON"),
        ({"messages": [{"role": "user", "content": "a", "function_call": FUNCTION}, CHAT["messages"][1]]},
         "turn 1 (user) has `tool_calls`"),
    ],
)  # fmt: skip
def test_older_and_newer_names_are_not_mixed(values: dict[str, Any], problem: str) -> None:
    assert refusal(values).message == f"data: train.jsonl:7 {problem}"


def test_how_an_answer_was_asked_for_is_listed_as_not_used() -> None:
    raw = sample({**CALLING, "tool_choice": "auto", "parallel_tool_calls": False})

    assert raw.unused == ("tool_choice", "parallel_tool_calls")
