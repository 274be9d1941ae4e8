"""Small chats that show what a chat template does."""

from __future__ import annotations

from trainer.data.message import TOOLS, Message, ToolCall

TWO_ANSWERS = (Message("user", "q"), Message("assistant", "a"), Message("user", "q"), Message("assistant", "a"))
WITH_SYSTEM = (Message("system", "s"), *TWO_ANSWERS[:2])
_OFFERED = (
    '[{"type": "function", "function": {"name": "f", "description": "f", "parameters": {"type": "object", '
    '"properties": {"x": {"type": "string", "description": "x"}}, "required": ["x"]}}}]'
)
ONE_CALL = (
    Message(TOOLS, _OFFERED),
    Message("user", "q"),
    Message("assistant", "", calls=(ToolCall("f", '{"x": "y"}', "call00001"),)),  # Mistral's ids have nine characters
    Message("tool", "a", name="f", call_id="call00001"),
)
THOUGHT_BESIDE = (Message("user", "q"), Message("assistant", "a", thought="t"))
THOUGHT_WITHIN = (Message("user", "q"), Message("assistant", "<think>\nt\n</think>\n\na"))
