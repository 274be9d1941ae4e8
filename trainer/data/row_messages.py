"""From the messages of a row to a chat: roles, texts, thoughts, calls, and which turns are learned."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from trainer.data.message import Message, ToolCall
from trainer.data.row_keys import check_text, given, refuse_part, unused_message_keys
from trainer.data.sources.row import FORMAT_HELP, Row, json_type

_ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "ai": "assistant", "function_call": "assistant", "tool_call": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool", "tool_response": "tool",
    "function_response": "tool",
}  # fmt: skip
"""Names of the roles: those of chat APIs, ShareGPT's and LLaMA-Factory's."""
_CALL_ROLES = ("function_call", "tool_call")
_LEARNED = {"weight": True, "loss_weight": True, "train": True, "trainable": True, "masked": False, "mask": False}
"""Keys that say whether a turn is learned, and what their 1 or true means."""
_THOUGHTS = ("reasoning_content", "thinking", "reasoning")  # as transformers has them


@dataclass(frozen=True)
class Chat:
    """The messages of a row, and the keys of theirs that are not used."""

    messages: tuple[Message, ...]
    unused: tuple[str, ...]


def read_messages(row: Row, messages: Any, ignored: frozenset[str]) -> Chat:
    """Return the messages of a row, checked one by one.

    Raises:
        DataError: On the first one that cannot be used.
    """
    if not isinstance(messages, list):
        raise row.refused(f"messages is a JSON {json_type(messages)}, not a list", FORMAT_HELP)
    found: list[Message] = []
    unused: list[str] = []
    for position, message in enumerate(messages, start=1):
        if not isinstance(message, dict):
            raise row.refused(f"turn {position} is a JSON {json_type(message)}, not an object", FORMAT_HELP)
        rest = given(message)
        found.append(_message(row, position, rest))
        unused += unused_message_keys(row, position, rest, ignored)
    return Chat(tuple(found), tuple(dict.fromkeys(unused)))


def read_text(row: Row, position: int, content: Any, *, may_be_empty: bool = False) -> str:
    """Return the text of a turn: what stands there, or what its text parts say together.

    Args:
        row: The row, for the message.
        position: Number of the turn, from 1.
        content: What the data has.
        may_be_empty: Whether the turn says something else, such as a call.

    Raises:
        DataError: If it is no text, empty, or cannot be written as UTF-8.
    """
    if isinstance(content, list):
        content = "".join(_part(row, position, part) for part in content)
    if content is None and may_be_empty:
        return ""
    if not isinstance(content, str):
        raise row.refused(f"turn {position} has a JSON {json_type(content)} as content, not text", "write it as text")
    if not content.strip() and not may_be_empty:
        raise row.refused(f"turn {position} is empty", "fill the turn, or take the sample out")
    try:
        content.encode("utf-8")
    except UnicodeEncodeError as err:
        code = f"\\u{ord(content[err.start]):04x}"
        raise row.refused(
            f"turn {position} holds half of a surrogate pair ({code})", "write the character whole, or take it out"
        ) from err
    return content


def _message(row: Row, position: int, rest: dict[str, Any]) -> Message:
    """Return one message, and take what is known from ``rest``."""
    by_from = "from" in rest
    said_role, content = (
        rest.pop("from" if by_from else "role", None),
        rest.pop("value" if by_from else "content", None),
    )
    role = _ROLES.get(said_role.lower()) if isinstance(said_role, str) else None
    if role is None:
        raise row.refused(
            f"turn {position} has the role {said_role!r}", "use the roles system, user, assistant and tool"
        )
    if said_role.lower() in _CALL_ROLES:
        return Message(role, "", calls=(_call(row, position, _parsed(row, position, content)),))
    calls, thought = _calls(row, position, rest), _thought(row, position, role, rest)
    learned = _is_learned(row, position, role, rest)
    text = read_text(row, position, content, may_be_empty=bool(calls) or role in ("system", "tool"))
    check_text(row, position, role, text)
    if role != "assistant" and calls:
        raise row.refused(f"turn {position} ({role}) has `tool_calls`", "let the assistant call tools")
    name, call_id = (rest.pop("name", None), rest.pop("tool_call_id", None)) if role == "tool" else (None, None)
    return Message(role, text, thought, calls, learned, _plain(name), _plain(call_id))


def _part(row: Row, position: int, part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type", "text") if isinstance(part, dict) else json_type(part)
    text = part.get("text") if isinstance(part, dict) else None
    if kind not in ("text", "input_text", "output_text") or not isinstance(text, str):
        refuse_part(row, position, str(kind))
    return str(text)


def _thought(row: Row, position: int, role: str, rest: dict[str, Any]) -> str | None:
    """Return the thought of a turn; what has several names has to be the same."""
    said = [rest.pop(key) for key in _THOUGHTS if isinstance(rest.get(key), str)]
    found = {thought for thought in said if thought.strip()}
    if not found:
        return None
    if role != "assistant" or len(found) > 1:
        raise row.refused(
            f"turn {position} ({role}) has {'two different thoughts' if len(found) > 1 else 'a thought'}",
            "keep one of reasoning_content, thinking and reasoning, in turns of the assistant",
        )
    return read_text(row, position, found.pop())


def _is_learned(row: Row, position: int, role: str, rest: dict[str, Any]) -> bool:
    """Return whether a turn is learned, by the keys that say so.

    Raises:
        DataError: If one is neither 0 nor 1, two disagree, or a turn that is not the assistant's is to be learned.
    """
    said: dict[str, bool] = {}
    for key, meaning in _LEARNED.items():
        if key not in rest:
            continue
        value = rest.pop(key)
        if value not in (0, 1):  # true and false are 1 and 0
            raise row.refused(
                f"turn {position} has `{key}: {json.dumps(value)}`",
                f"set {key} to 0 or 1: a turn is learned or it is not",
            )
        said[key] = bool(value) == meaning
    if len(set(said.values())) > 1:
        raise row.refused(f"turn {position} has keys that disagree: {', '.join(said)}", "keep one of them")
    if role != "assistant" and any(said.values()):
        raise row.refused(
            f"turn {position} ({role}) is to be learned by its key `{next(iter(said))}`",
            "set it on turns of the assistant alone; `data.assistant_only_loss: false` learns from all turns",
        )
    return all(said.values())


def _calls(row: Row, position: int, rest: dict[str, Any]) -> tuple[ToolCall, ...]:
    calls = _parsed(row, position, rest.pop("tool_calls", []))
    if not isinstance(calls, list):
        raise row.refused(f"turn {position} has `tool_calls` that are no list", "write them as chat APIs do")
    return tuple(_call(row, position, call) for call in calls)


def _call(row: Row, position: int, call: Any) -> ToolCall:
    values: dict[str, Any] = call if isinstance(call, dict) else {}
    function = values.get("function", values)
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise row.refused(
            f"turn {position} has a call without the name of a tool",
            'write it as {"type": "function", "function": {"name": "…", "arguments": {…}}}',
        )
    arguments = _parsed(row, position, function.get("arguments", function.get("parameters")) or {})
    if not isinstance(arguments, dict):
        raise row.refused(
            f"turn {position} calls {name!r} with arguments that are a JSON {json_type(arguments)}, not an object",
            "write them as an object, or as the JSON text of one",
        )
    text = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(name, read_text(row, position, text), _plain(values.get("id")))


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


def _plain(value: Any) -> str | None:
    return None if value is None else str(value)
