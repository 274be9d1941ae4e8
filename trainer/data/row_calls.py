"""The tools that a sample offers and the calls that its assistant makes, in the forms that data sets have."""

from __future__ import annotations

import json
from typing import Any

from trainer.data.message import TOOLS, Message, ToolCall
from trainer.data.row_keys import given, is_harmless
from trainer.data.row_text import read_text, text_or_none
from trainer.data.sources.row import Row, json_type

_CALL_KEYS = ("function", "arguments", "parameters")
_NO_ARGUMENTS: tuple[Any, ...] = (None, "", [], {})


def read_tools(row: Row, rest: dict[str, Any]) -> list[Message]:
    """Return the message that lists the tools on offer, in the form of chat APIs; none if there are none.

    Args:
        row: The row, for the message.
        rest: Its keys, of which ``tools`` and ``functions``, the older name, are taken out.

    Raises:
        DataError: If they cannot be read, or a tool has no name.
    """
    tools, functions = (_list_of(row, name, rest.pop(name, None)) for name in ("tools", "functions"))
    if tools and functions:
        raise row.refused("has `tools` and `functions`", "keep `tools`, the newer form")
    if not tools and not functions:
        return []
    offered = []
    for tool in map(_tool, tools or functions):
        values: dict[str, Any] = tool if isinstance(tool, dict) else {}
        function = values.get("function", values)
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or not name.strip():
            raise row.refused(
                "has `tools` of which one has no name",
                'write each as {"type": "function", "function": {"name": "…", "parameters": {…}}}',
            )
        offered.append(values if "function" in values else {"type": "function", "function": _as_function(values)})
    return [Message(TOOLS, read_text(row, 1, json.dumps(offered, ensure_ascii=False)))]


def read_calls(row: Row, position: int, rest: dict[str, Any]) -> tuple[ToolCall, ...]:
    """Return the calls of a turn.

    Args:
        row: The row, for the message.
        position: Number of the turn, from 1.
        rest: Its keys, of which ``tool_calls`` and ``function_call``, the older name, are taken out.

    Raises:
        DataError: If a call cannot be read, or holds what would be lost.
    """
    calls = _parsed(row, position, rest.pop("tool_calls", None) or [])
    if not isinstance(calls, list):
        raise row.refused(f"turn {position} has `tool_calls` that are no list", "write them as chat APIs do")
    older = rest.pop("function_call", None)
    if calls and older:
        raise row.refused(f"turn {position} has `tool_calls` and `function_call`", "keep `tool_calls`, the newer form")
    return tuple(_call(row, position, call) for call in calls or ([older] if older else []))


def read_call_turn(row: Row, position: int, content: Any) -> tuple[ToolCall, ...]:
    """Return the calls that a turn of the role ``function_call`` has as its content: one, or a list of them.

    Raises:
        DataError: If a call cannot be read, or holds what would be lost.
    """
    calls = _parsed(row, position, content)
    return tuple(_call(row, position, call) for call in (calls if isinstance(calls, list) and calls else [calls]))


def _tool(tool: Any) -> Any:
    """Return a tool, read where it is a JSON text: columns of tools with unlike parameters hold texts."""
    try:
        return json.loads(tool) if isinstance(tool, str) else tool
    except (ValueError, RecursionError):
        return None


def _as_function(values: dict[str, Any]) -> dict[str, Any]:
    """Return a tool's description with its parameters under the name that templates know."""
    if "parameters" in values:
        return values
    return {"parameters" if key == "input_schema" else key: value for key, value in values.items()}


def _list_of(row: Row, name: str, tools: Any) -> list[Any]:
    if isinstance(tools, str) and tools.strip():
        try:
            tools = json.loads(tools)
        except (ValueError, RecursionError) as err:
            raise row.refused(f"has `{name}` that are not valid JSON", "write them as a list of objects") from err
    if isinstance(tools, list):
        return tools
    return [None] if tools else []


def _call(row: Row, position: int, call: Any) -> ToolCall:
    values = given(call) if isinstance(call, dict) else {}
    function = values.get("function", values)
    function = given(function) if isinstance(function, dict) else {}
    name = function.get("name")
    if not isinstance(name, str) or not name.strip():
        raise row.refused(
            f"turn {position} has a call without the name of a tool",
            'write it as {"type": "function", "function": {"name": "…", "arguments": {…}}}',
        )
    lost = next((key for key in (*values, *function) if key not in _CALL_KEYS and not is_harmless(key)), None)
    if lost is not None:
        raise row.refused(
            f"turn {position} calls {name!r} with a key that is not supported: {lost}",
            "write what the tool is given as `arguments`, and take out the rest",
        )
    return ToolCall(name, _arguments(row, position, name, function), text_or_none(values.get("id")))


def _arguments(row: Row, position: int, name: str, function: dict[str, Any]) -> str:
    """Return the arguments of a call as the text of a JSON object."""
    said = [function[key] for key in ("arguments", "parameters") if function.get(key) not in _NO_ARGUMENTS]
    if len(said) > 1:
        raise row.refused(f"turn {position} calls {name!r} with `arguments` and `parameters`", "keep `arguments`")
    arguments = _parsed(row, position, said[0] if said else {})
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise row.refused(
            f"turn {position} calls {name!r} with arguments that are a JSON {json_type(arguments)}, not an object",
            "write them as an object, or as the JSON text of one",
        )
    try:
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except ValueError as err:
        raise row.refused(
            f"turn {position} calls {name!r} with a number that JSON does not have (NaN or Infinity)",
            "write it as text or as null",
        ) from err
    return read_text(row, position, text)


def _parsed(row: Row, position: int, value: Any) -> Any:
    """Return what a JSON text says: many data sets hold calls and arguments as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as err:
        raise row.refused(
            f"turn {position} has a call that is not valid JSON", "write its arguments as a JSON object"
        ) from err
