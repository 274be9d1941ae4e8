"""A chat as every format of samples becomes one: messages, with the thoughts and tool calls of the assistant."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

TOOLS = "tools"
"""Role of the message that lists the tools on offer: the first of its chat, its content their JSON text."""


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool.

    Attributes:
        name: Name of the tool.
        arguments: A JSON object, as text.
        call_id: What the tool's answer refers to, where the data has it.
    """

    name: str
    arguments: str
    call_id: str | None = None


@dataclass(frozen=True)
class Message:
    """One turn of a chat.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or ``tool``; ``TOOLS`` for the tools on offer.
        content: What was said.
        thought: What the assistant thought before it spoke, where that is kept apart from the content.
        calls: Tools that the assistant calls.
        learned: ``False`` for a turn of the assistant that is in the context only.
        name: Name of the tool that answers, or of the speaker.
        call_id: The call that a tool answers.
    """

    role: str
    content: str
    thought: str | None = None
    calls: tuple[ToolCall, ...] = ()
    learned: bool = True
    name: str | None = None
    call_id: str | None = None

    def for_template(self, *, arguments_as_text: bool) -> dict[str, Any]:
        """Return the message as chat templates take it.

        Args:
            arguments_as_text: Give a call's arguments as JSON text; most templates take a mapping.
        """
        values: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.thought is not None:
            values |= {"reasoning_content": self.thought, "thinking": self.thought}  # most templates', and gpt-oss's
        if self.calls:
            values["tool_calls"] = [_call(call, arguments_as_text) for call in self.calls]
        if self.name is not None:
            values["name"] = self.name
        if self.call_id is not None:
            values["tool_call_id"] = self.call_id
        return values


def _call(call: ToolCall, arguments_as_text: bool) -> dict[str, Any]:
    arguments = call.arguments if arguments_as_text else json.loads(call.arguments)
    values: dict[str, Any] = {"type": "function", "function": {"name": call.name, "arguments": arguments}}
    return values if call.call_id is None else {"id": call.call_id, **values}
