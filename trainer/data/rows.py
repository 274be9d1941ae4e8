"""From a row to a sample: the meaning of its keys, in three formats, every refusal with file and line.

Formats: ``messages`` (also ``conversations`` with ``from``/``value``), ``prompt_completion`` and ``alpaca``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainer.data.message import Message
from trainer.data.row_calls import read_tools
from trainer.data.row_hints import layout_hint
from trainer.data.row_keys import given, refuse_other_kinds, unused_keys
from trainer.data.row_messages import Chat, read_messages
from trainer.data.row_text import read_text, unpacked
from trainer.data.sources.row import FORMAT_HELP, Row

Format = Literal["messages", "prompt_completion", "alpaca"]

UNANSWERED = "end with turns that the assistant does not answer, which are left out"
EMPTY_SYSTEM = "have an empty system turn, which counts as none"
_LAYOUTS: dict[Format, tuple[frozenset[str], ...]] = {
    "messages": (frozenset({"messages"}), frozenset({"conversations"})),
    "alpaca": (frozenset({"instruction", "output"}),),
    "prompt_completion": (frozenset({"prompt", "completion"}),),
}

_ROLE_KEYS = {"role", "from"}


@dataclass(frozen=True)
class RawSample:
    """One sample of a file.

    Attributes:
        line: Its line, from 1.
        turns: Its messages.
        remarks: What was done to it, as words that follow "samples".
        unused: Keys that are harmless to leave out, and are.
    """

    line: int
    turns: tuple[Message, ...]
    remarks: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def sample_of(row: Row, layout: Format, ignored: frozenset[str] = frozenset()) -> RawSample:
    """Return the sample that a row of a known format is.

    Args:
        row: What the file holds.
        layout: Its format.
        ignored: Keys that the user leaves out on purpose.

    Raises:
        DataError: If its turns are not such as can be learned from, or a key changes what should be learned.
    """
    refuse_other_kinds(row, ignored)
    rest = given(row.values)
    chat = _chat(row, rest, layout, ignored)
    messages = _with_system(row, chat.messages, [rest.pop(key, None) for key in ("system", "system_prompt")])
    tools = read_tools(row, rest)
    spoken, remarks = _cut(row, messages)
    unused = unused_keys(row, rest, (message.content for message in spoken), ignored)
    return RawSample(row.number, (*tools, *spoken), remarks, tuple(dict.fromkeys((*unused, *chat.unused))))


def format_of(row: Row, wanted: str) -> Format:
    """Return the format of a row.

    Args:
        row: What the file holds.
        wanted: A format's name, or ``auto``.

    Raises:
        DataError: If the row is in no known format, or not in the one that is wanted.
    """
    keys_given = {key for key, value in row.values.items() if value is not None}
    for layout, key_sets in _LAYOUTS.items():
        if wanted in ("auto", layout) and any(keys <= keys_given for keys in key_sets):
            return layout
    refuse_other_kinds(row)
    keys = ", ".join(list(row.values)[:8]) or "none"
    expected = "any known format" if wanted == "auto" else f"the format {wanted}"
    raise row.refused(
        f"does not fit {expected} (keys: {keys})",
        details="messages: messages | conversations; prompt_completion: prompt, completion; "
        "alpaca: instruction, [input], output",
        resolution=layout_hint(row) if wanted == "auto" else "set `data.format: auto`, or correct the line",
    )


def other_formats(wanted: str) -> frozenset[str]:
    """Return the keys of the other formats, where a format is named: who does leaves them out on purpose."""
    if wanted not in _LAYOUTS:
        return frozenset()
    others = (keys for layout, key_sets in _LAYOUTS.items() if layout != wanted for keys in key_sets)
    return frozenset().union(*others)


def _chat(row: Row, rest: dict[str, Any], layout: Format, ignored: frozenset[str]) -> Chat:
    """Return the messages of a row, and take the keys that they are made from out of ``rest``."""
    if layout == "messages":
        key = "messages" if row.values.get("messages") is not None else "conversations"
        rest.pop(key, None)
        return read_messages(row, unpacked(row.values[key]), ignored)
    keys = ("instruction", "output") if layout == "alpaca" else ("prompt", "completion")
    question, answer = (_one_text(row, key, row.values[key]) for key in keys)
    history = _history(row, unpacked(rest.pop("history", [])) or [])
    for key in keys:
        rest.pop(key, None)
    if layout == "alpaca":
        question = _with_input(row, question, rest.pop("input", None))
    asked = [{"weight": 0, **given(turn)} for turn in _turns(question, "user")]
    chat = read_messages(row, [*asked, *_turns(answer, "assistant")], ignored)
    return Chat((*history, *chat.messages), chat.unused)


def _turns(said: Any, role: str) -> list[dict[str, Any]]:
    """Return a question or an answer as turns: it may be a chat of its own."""
    if isinstance(said, list) and said and all(isinstance(turn, dict) and turn.keys() & _ROLE_KEYS for turn in said):
        return said
    return [{"role": role, "content": said}]


def _one_text(row: Row, key: str, said: Any) -> Any:
    """Refuse several texts in one place: they may be answers of which each is right by itself."""
    if isinstance(said, list) and len(said) > 1 and all(isinstance(text, str) for text in said):
        raise row.refused(f"has {len(said)} texts as `{key}`", "keep one of them, as text")
    return said


def _with_input(row: Row, question: Any, given_input: Any) -> Any:
    """Return Alpaca's instruction with its input below it."""
    extra = read_text(row, 1, given_input, may_be_empty=True)
    if not extra.strip():
        return question
    words = read_text(row, 1, question, may_be_empty=True)
    return "\n\n".join(text for text in (words, extra) if text.strip())


def _history(row: Row, pairs: Any) -> list[Message]:
    """Return the earlier turns that Alpaca's ``history`` has as pairs of question and answer."""
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise row.refused(
            "has a `history` that is not a list of pairs", 'write it as [["question", "answer"], …], or take it out'
        )
    return [
        Message(role, read_text(row, position, _one_text(row, "history", text)))
        for position, pair in enumerate(pairs, start=1)
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]


def _with_system(row: Row, messages: Sequence[Message], beside: Sequence[Any]) -> list[Message]:
    """Return the turns with the system text that stands beside them, once."""
    said = (read_text(row, 1, text, may_be_empty=True) for text in beside)
    texts = list(dict.fromkeys(text for text in said if text.strip()))
    own = [message.content for message in messages if message.role == "system" and message.content.strip()]
    if len(texts) > 1 or (texts and own and texts != own[:1]):
        raise row.refused("has a system text beside a system turn that says something else", "keep one of them")
    return list(messages) if own or not texts else [Message("system", texts[0]), *messages]


def _cut(row: Row, messages: Sequence[Message]) -> tuple[list[Message], tuple[str, ...]]:
    """Return the turns that are trained on, and what was left out: empty system turns, and what nobody answers."""
    turns = [message for message in messages if message.role != "system" or message.content.strip()]
    remarks = [EMPTY_SYSTEM] if len(turns) < len(messages) else []
    answered = max((index + 1 for index, message in enumerate(turns) if message.role == "assistant"), default=0)
    if answered == 0:
        raise row.refused("has no assistant turn: nothing would be learned", FORMAT_HELP)
    if answered < len(turns):
        remarks.append(UNANSWERED)
    return turns[:answered], tuple(remarks)
