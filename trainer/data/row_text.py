"""The text of a turn: what stands there, or what its text parts say together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trainer.data.row_keys import NO_MEDIA
from trainer.data.sources.row import Row, json_type

_TEXT_PARTS = ("text", "input_text", "output_text")
_AS_PART = 'write it as {"type": "text", "text": "…"}'
_OTHER_PARTS = {
    "write calls as `tool_calls` of the turn, and results as turns of the role tool": (
        "tool_use", "tool_call", "tool_calls", "function_call", "tool_result", "tool_response", "function_response",
    ),
    "write the thought as `reasoning_content` of the turn": ("thinking", "redacted_thinking", "reasoning", "thought"),
    "write its words as a text part": ("refusal",),
}  # fmt: skip
"""What to do with parts that are neither text nor a picture, sound or video."""


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


def part_keys(content: Any) -> Mapping[str, Any]:
    """Return what the text parts of a turn hold besides their text."""
    parts = content if isinstance(content, list) else []
    return {
        key: value
        for part in parts
        if isinstance(part, dict)
        for key, value in part.items()
        if key not in ("type", "text") and value is not None
    }


def unpacked(value: Any) -> Any:
    """Return the list that a JSON text says, or the value itself: the cells of a table hold lists as text."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def text_or_none(value: Any) -> str | None:
    """Return a name or an id as text; ``None`` where there is none."""
    return None if value is None else str(value)


def _part(row: Row, position: int, part: Any) -> str:
    if isinstance(part, str):
        return part
    kind = str(part.get("type", "text")) if isinstance(part, dict) else json_type(part)
    if kind not in _TEXT_PARTS:
        remedy = next((remedy for remedy, kinds in _OTHER_PARTS.items() if kind in kinds), NO_MEDIA)
        remedy = remedy if isinstance(part, dict) else _AS_PART
        raise row.refused(f"turn {position} has a part that is not text: {kind}", remedy)
    text = part.get("text") if isinstance(part, dict) else None
    if not isinstance(text, str):
        raise row.refused(f"turn {position} has a text part without a text", _AS_PART)
    return text
