"""Stand-ins: a chat with a number in place of each text, so that its place in a rendering can be found.

What a template makes of a stand-in shows where the text goes, or that it is left out. The white space around a text
stays, and so do the tags around a thought: templates look at both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from trainer.data.message import TOOLS, Message, ToolCall

_OPEN, _CLOSE = "\U000f5e03", "\U000f5e04"  # private-use characters: templates neither strip nor escape them
STAND_IN = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
THOUGHT_TAG = re.compile(r"(</?think(?:ing)?>|\[/?THINK\])")
Kind = str


class Slot(NamedTuple):
    """One text of a chat.

    Attributes:
        turn: Index of its message.
        kind: ``content``, ``thought``, ``call`` (a tool's name), ``argument`` or ``tool`` (the name of one on offer).
        text: The text itself, without white space around it.
        label: For an argument its key, else empty.
    """

    turn: int
    kind: Kind
    text: str
    label: str = ""


@dataclass(frozen=True)
class StandIns:
    """A chat of stand-ins, and the texts that they stand for by number."""

    messages: tuple[Message, ...]
    slots: tuple[Slot, ...]


def stand_in(messages: Sequence[Message], turns: set[int] | None = None) -> StandIns:
    """Return the chat with stand-ins for its texts.

    Args:
        messages: The chat.
        turns: Indices of the messages that get stand-ins; all of them when left out.
    """
    writer = _Writer([])
    replaced = [
        writer.message(index, message) if turns is None or index in turns else message
        for index, message in enumerate(messages)
    ]
    return StandIns(tuple(replaced), tuple(writer.slots))


def has_thought_tag(text: str) -> bool:
    """Return whether a text holds the mark of a thought; few do, and most of these hold its word."""
    return ("think" in text or "THINK" in text) and THOUGHT_TAG.search(text) is not None


@dataclass
class _Writer:
    """Puts stand-ins into one message after the other."""

    slots: list[Slot]

    def message(self, index: int, message: Message) -> Message:
        if message.role == TOOLS:
            return replace(message, content=self._tools(index, message.content))
        thought = message.thought and self._text(index, "thought", message.thought)
        content = self._content(index, message)
        calls = tuple(self._call(index, call) for call in message.calls)
        return Message(message.role, content, thought, calls, message.learned, message.name, message.call_id)

    def _tools(self, index: int, tools: str) -> str:
        offered = json.loads(tools)
        for tool in offered:
            function = tool.get("function", tool)
            function["name"] = self._text(index, "tool", function["name"])
        return json.dumps(offered, ensure_ascii=False)

    def _content(self, index: int, message: Message) -> str:
        if message.role != "assistant" or not has_thought_tag(message.content):
            return self._text(index, "content", message.content)
        *parts, last = THOUGHT_TAG.split(message.content)
        pieces = zip(parts[::2], parts[1::2], strict=True)
        said = [self._text(index, "thought" if "/" in tag else "content", text) + tag for text, tag in pieces]
        return "".join(said) + self._text(index, "content", last)

    def _call(self, index: int, call: ToolCall) -> ToolCall:
        name = self._text(index, "call", call.name)
        arguments = {key: self._value(index, key, value) for key, value in json.loads(call.arguments).items()}
        return replace(call, name=name, arguments=json.dumps(arguments, ensure_ascii=False))

    def _value(self, index: int, key: str, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(index, "argument", value, key)
        if isinstance(value, list):
            return [self._value(index, key, one) for one in value]
        if isinstance(value, dict):
            return {inner: self._value(index, key, one) for inner, one in value.items()}
        return value

    def _text(self, index: int, kind: Kind, text: str, label: str = "") -> str:
        core = text.strip()
        if not core:
            return text
        before, _, after = text.partition(core)
        self.slots.append(Slot(index, kind, core, label))
        return f"{before}{_OPEN}{len(self.slots) - 1}{_CLOSE}{after}"
