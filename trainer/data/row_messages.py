"""From the messages of a row to a chat: roles, texts, thoughts, calls, and which turns are learned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.data.message import Message
from trainer.data.row_calls import read_call_turn, read_calls
from trainer.data.row_keys import LEARNED, check_text, given, unused_message_keys, unused_part_keys
from trainer.data.row_text import part_keys, read_text, text_or_none
from trainer.data.sources.row import AS_JSON, FORMAT_HELP, Row, json_type
from trainer.data.stand_ins import THOUGHT_TAG, has_thought_tag

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
_SPEAKERS = {name: role for name, role in _ROLES.items() if name not in _CALL_ROLES}
_MAY_BE_SILENT = ("system", "tool")
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
        resolution = AS_JSON if isinstance(messages, str) else FORMAT_HELP
        raise row.refused(f"messages is a JSON {json_type(messages)}, not a list", resolution)
    found: list[Message] = []
    unused: list[str] = []
    for position, message in enumerate(messages, start=1):
        if not isinstance(message, dict):
            raise row.refused(f"turn {position} is a JSON {json_type(message)}, not an object", FORMAT_HELP)
        if (role := _role_of_plain(message)) is not None:
            found.append(Message(role, _words(row, position, role, message["content"])))
            continue
        rest = given(message)
        content_key = next((key for key in _contents(rest) if key in rest), None)
        content = None if content_key is None else rest.pop(content_key)
        found.append(_message(row, position, rest, content))
        unused += unused_part_keys(row, position, part_keys(content), ignored)
        unused += unused_message_keys(row, position, rest, ignored)
    return Chat(tuple(found), tuple(dict.fromkeys(unused)))


def _role_of_plain(message: dict[str, Any]) -> str | None:
    """Return the role of a message that is a role and a text and nothing else, as nearly all are; else ``None``."""
    role = message.get("role")
    if len(message) == 2 and isinstance(role, str) and isinstance(message.get("content"), str):
        return _SPEAKERS.get(role)
    return None


def _contents(rest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the content, the likelier one first: ShareGPT calls it ``value``, and some mix the two."""
    return ("value", "content") if "from" in rest else ("content", "value")


def _message(row: Row, position: int, rest: dict[str, Any], content: Any) -> Message:
    """Return one message, and take what is known from ``rest``."""
    said_role = _said_role(row, position, rest)
    role = _ROLES[said_role]
    calls, thought = read_calls(row, position, rest), _thought(row, position, role, rest)
    if said_role in _CALL_ROLES:
        calls, content = (*calls, *read_call_turn(row, position, content)), None
    learned = _is_learned(row, position, role, rest)
    if content is None and rest and not (calls or role in _MAY_BE_SILENT):
        raise row.refused(
            f"turn {position} has no `content`, but {', '.join(rest)}",
            "call its text `content`, or `value` beside `from`",
        )
    text = _words(row, position, role, content, may_be_empty=bool(calls))
    thought = _said_once(row, position, thought, text)
    if role != "assistant" and calls:
        raise row.refused(f"turn {position} ({role}) has `tool_calls`", "let the assistant call tools")
    name, call_id = (rest.pop("name", None), rest.pop("tool_call_id", None)) if role == "tool" else (None, None)
    return Message(role, text, thought, calls, learned, text_or_none(name), text_or_none(call_id))


def _said_role(row: Row, position: int, rest: dict[str, Any]) -> str:
    """Return the name of a turn's role, as ``_ROLES`` has it, and take it from ``rest``."""
    said = rest.pop("from" if "from" in rest else "role", None)
    if said is None:
        raise row.refused(
            f"turn {position} has no `role`{', but ' if rest else ''}{', '.join(rest)}",
            "say who speaks as `role` (system, user, assistant or tool), or as `from` beside `value`",
        )
    name = said.strip().lower() if isinstance(said, str) else ""
    if name not in _ROLES:
        raise row.refused(f"turn {position} has the role {said!r}", "use the roles system, user, assistant and tool")
    return name


def _words(row: Row, position: int, role: str, content: Any, *, may_be_empty: bool = False) -> str:
    """Return the text of a turn, checked."""
    text = read_text(row, position, content, may_be_empty=may_be_empty or role in _MAY_BE_SILENT)
    check_text(row, position, role, text)
    return text


def _thought(row: Row, position: int, role: str, rest: dict[str, Any]) -> str | None:
    """Return the thought of a turn; what has several names has to be the same."""
    said = [read_text(row, position, rest.pop(key), may_be_empty=True) for key in _THOUGHTS if key in rest]
    found = {thought for thought in said if thought.strip()}
    if not found:
        return None
    if role != "assistant" or len(found) > 1:
        raise row.refused(
            f"turn {position} ({role}) has {'two different thoughts' if len(found) > 1 else 'a thought'}",
            "keep one of reasoning_content, thinking and reasoning, in turns of the assistant",
        )
    return found.pop()


def _said_once(row: Row, position: int, thought: str | None, text: str) -> str | None:
    """Return the thought beside a text; ``None`` where the text holds it as well: it would be learned twice."""
    if thought is None or not has_thought_tag(text):
        return thought
    if thought.strip() not in (part.strip() for part in THOUGHT_TAG.split(text)):
        raise row.refused(
            f"turn {position} has one thought in its content and another beside it",
            "keep one of them: between <think> and </think>, or as reasoning_content",
        )
    return None


def _is_learned(row: Row, position: int, role: str, rest: dict[str, Any]) -> bool:
    """Return whether a turn is learned, by the keys that say so.

    Raises:
        DataError: If one is neither 0 nor 1, two disagree, or a turn that is not the assistant's is to be learned.
    """
    said: dict[str, bool] = {}
    for key, meaning in LEARNED.items():
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
    return role != "assistant" or all(said.values())
