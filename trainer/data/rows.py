"""From a row to a sample: the meaning of its keys, in three formats, every refusal with file and line.

Formats: ``messages`` (also ``conversations`` with ``from``/``value``), ``prompt_completion`` and ``alpaca``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from trainer.data.sources.row import FORMAT_HELP, Row, json_type

Format = Literal["messages", "prompt_completion", "alpaca"]
Turn = tuple[str, str]

_ROLES = {"system": "system", "user": "user", "assistant": "assistant", "human": "user", "gpt": "assistant"}
_LAYOUTS: dict[Format, tuple[frozenset[str], ...]] = {
    "messages": (frozenset({"messages"}), frozenset({"conversations"})),
    "alpaca": (frozenset({"instruction", "output"}),),
    "prompt_completion": (frozenset({"prompt", "completion"}),),
}


@dataclass(frozen=True)
class RawSample:
    """One sample of a file: its line, from 1, and its turns as (role, content)."""

    line: int
    turns: tuple[Turn, ...]


def sample_of(row: Row, layout: Format) -> RawSample:
    """Return the sample that a row of a known format is.

    Raises:
        DataError: If its turns are not such as can be learned from.
    """
    return RawSample(row.number, _checked(row, _turns(row, layout)))


def format_of(row: Row, wanted: str) -> Format:
    """Return the format of a row.

    Args:
        row: What the file holds.
        wanted: A format's name, or ``auto``.

    Raises:
        DataError: If the row is in no known format, or not in the one that is wanted.
    """
    for layout, key_sets in _LAYOUTS.items():
        if wanted in ("auto", layout) and any(keys <= row.values.keys() for keys in key_sets):
            return layout
    keys = ", ".join(list(row.values)[:8]) or "none"
    expected = "any known format" if wanted == "auto" else f"the format {wanted}"
    raise row.refused(
        f"does not fit {expected} (keys: {keys})",
        details="messages: messages | conversations; prompt_completion: prompt, completion; "
        "alpaca: instruction, [input], output",
        resolution=FORMAT_HELP if wanted == "auto" else "set `format: auto`, or correct the line",
    )


def _turns(row: Row, layout: Format) -> list[tuple[Any, Any]]:
    if row.values.get("tools"):
        raise row.refused("`tools` are not supported", "leave the key out, or put the tools in the system turn")
    if layout == "alpaca":
        question, extra = row.values["instruction"], row.values.get("input")
        if isinstance(question, str) and isinstance(extra, str) and extra.strip():
            question = f"{question}\n\n{extra}"
        system = [("system", row.values["system"])] if row.values.get("system") else []
        return [*system, ("user", question), ("assistant", row.values["output"])]
    if layout == "prompt_completion":
        prompt, completion = row.values["prompt"], row.values["completion"]
        if isinstance(prompt, list) and isinstance(completion, list):
            return _chat(row, [*prompt, *completion])
        return [("user", prompt), ("assistant", completion)]
    return _chat(row, row.values["messages"] if "messages" in row.values else row.values["conversations"])


def _chat(row: Row, messages: Any) -> list[tuple[Any, Any]]:
    if not isinstance(messages, list):
        raise row.refused(f"messages is a JSON {json_type(messages)}, not a list", FORMAT_HELP)
    turns = []
    for position, message in enumerate(messages, start=1):
        if not isinstance(message, dict):
            raise row.refused(f"turn {position} is a JSON {json_type(message)}, not an object", FORMAT_HELP)
        role_key, content_key = ("from", "value") if "from" in message else ("role", "content")
        unknown = [key for key, value in message.items() if key not in (role_key, content_key, "name") and value]
        if unknown:
            raise row.refused(f"turn {position} has a key that is not supported: {unknown[0]}", "leave the key out")
        turns.append((message.get(role_key), message.get(content_key)))
    return turns


def _checked(row: Row, turns: list[tuple[Any, Any]]) -> tuple[Turn, ...]:
    """Return the turns with today's role names, if roles, order and contents are right."""
    result: list[Turn] = []
    for position, (role, content) in enumerate(turns, start=1):
        if not isinstance(role, str) or role not in _ROLES:
            raise row.refused(f"turn {position} has the role {role!r}", "use the roles system, user and assistant")
        result.append((_ROLES[role], _checked_content(row, position, content)))
    roles = [role for role, _ in result]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    expected = ["user" if index % 2 == 0 else "assistant" for index in range(len(spoken))]
    if "assistant" not in spoken:
        raise row.refused("has no assistant turn: nothing would be learned", FORMAT_HELP)
    if spoken != expected:
        wrong = next(index for index, role in enumerate(spoken) if role != expected[index])
        position = wrong + 1 + len(roles) - len(spoken)
        raise row.refused(
            f"turn {position} is {spoken[wrong]}, where {expected[wrong]} must be",
            "begin with user (system only before it), then let user and assistant take turns",
        )
    if spoken[-1] != "assistant":
        raise row.refused("ends with a user turn without an answer", "end each sample with assistant")
    return tuple(result)


def _checked_content(row: Row, position: int, content: Any) -> str:
    if not isinstance(content, str):
        raise row.refused(f"turn {position} has a JSON {json_type(content)} as content, not text", "write it as text")
    if not content.strip():
        raise row.refused(f"turn {position} is empty", "fill the turn, or take the sample out")
    try:
        content.encode("utf-8")
    except UnicodeEncodeError as err:
        code = f"\\u{ord(content[err.start]):04x}"
        raise row.refused(
            f"turn {position} holds half of a surrogate pair ({code})", "write the character whole, or take it out"
        ) from err
    return content
