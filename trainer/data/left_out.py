"""The second check: every text of a chat stands in its rendering, or a sample would lose something in silence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from trainer.base_model.tokenization import BaseModelFacts
from trainer.data.message import TOOLS, Message
from trainer.data.probes import THOUGHT_BESIDE, THOUGHT_WITHIN
from trainer.data.rendering import Rendering, has_system_turn, render_chat, system_remedy
from trainer.data.stand_ins import STAND_IN, Slot, StandIns, stand_in
from trainer.errors import BaseModelError

_ONE_SYSTEM_TURN = "the template has a place for one system turn: join them into one at the beginning"
_OTHER_TEMPLATE = "set data.chat_template_path to a template that renders it, or take it out of the data"


def check_nothing_left_out(
    stand_ins: StandIns, rendered: str, messages: Sequence[Message], facts: BaseModelFacts
) -> int:
    """Check that the template renders every text, and return how many earlier thoughts it leaves out.

    Args:
        stand_ins: The chat as stand-ins.
        rendered: What the template made of them.
        messages: The chat itself.
        facts: The base model's template.

    Raises:
        BaseModelError: If a text is left out that is not an earlier thought.
    """
    last = len(messages) - 1
    present = {int(number) for number in STAND_IN.findall(rendered)}
    missing = [slot for number, slot in enumerate(stand_ins.slots) if number not in present]
    dropped: set[int] = set()
    for slot in missing:
        is_earlier_thought = slot.kind == "thought" and slot.turn < last
        if not is_earlier_thought or not _renders_thoughts(facts, messages[slot.turn].thought is None):
            raise _left_out(slot, messages, _ONE_SYSTEM_TURN if has_system_turn(facts) else system_remedy(facts))
        dropped.add(slot.turn)
    return len(dropped)


def check_values(rendering: Rendering) -> None:
    r"""Check the arguments of calls that are not texts, and that none was written as JSON within JSON.

    Raises:
        BaseModelError: If a value is left out, or the arguments are encoded twice (``\"`` where ``"`` belongs).
    """
    for index, message in enumerate(rendering.messages):
        for call in message.calls:
            arguments = json.loads(call.arguments)
            for key, value in _plain_values(arguments):
                if not any(form in rendering.text for form in (json.dumps(value), str(value))):
                    raise _left_out(Slot(index, "argument", str(value), key), rendering.messages)
            if arguments and f'{{\\"{next(iter(arguments))}\\"' in rendering.text:
                raise BaseModelError(
                    f"chat template: it encodes the arguments of {call.name!r} in turn "
                    f"{_number(index, rendering.messages)} twice (JSON within JSON)",
                    resolution="set data.chat_template_path to a template that takes arguments as a mapping",
                )


@lru_cache(maxsize=16)
def _renders_thoughts(facts: BaseModelFacts, is_in_content: bool) -> bool:
    """Return whether the template renders the thought of a last answer."""
    chat = stand_in(THOUGHT_WITHIN if is_in_content else THOUGHT_BESIDE)
    thought = next(number for number, slot in enumerate(chat.slots) if slot.kind == "thought")
    try:
        return str(thought) in STAND_IN.findall(render_chat(chat.messages, facts).text)
    except BaseModelError:
        return False


def _plain_values(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values in a call's arguments that are not texts, each with its key."""
    if isinstance(value, dict):
        for inner, one in value.items():
            yield from _plain_values(one, inner)
    elif isinstance(value, list):
        for one in value:
            yield from _plain_values(one, key)
    elif not isinstance(value, str):
        yield key, value


def _left_out(slot: Slot, messages: Sequence[Message], for_system_turns: str = _OTHER_TEMPLATE) -> BaseModelError:
    number, role = _number(slot.turn, messages), messages[slot.turn].role
    words = slot.text if len(slot.text) <= 40 else f"{slot.text[:40]}…"
    what, resolution = {
        "tool": (f"the tool {words!r}", "take a base model whose template has tools, or set data.chat_template_path"),
        "call": (f"the call of {words!r} in turn {number}", _OTHER_TEMPLATE),
        "argument": (f"the argument {slot.label!r} of a call in turn {number}", _OTHER_TEMPLATE),
        "thought": (
            f"the thought in turn {number}",
            "write the thought into the content as <think>…</think>, or set data.chat_template_path to a template that "
            "renders reasoning_content"
            if messages[slot.turn].thought is not None
            else _OTHER_TEMPLATE,
        ),
        "content": (f"turn {number} ({role})", for_system_turns if role == "system" else _OTHER_TEMPLATE),
    }[slot.kind]
    return BaseModelError(f"chat template: it leaves out {what}", resolution=resolution)


def _number(index: int, messages: Sequence[Message]) -> int:
    """Return the number of a turn as the data has it, from 1; the tools on offer are no turn."""
    return index + (0 if messages[0].role == TOOLS else 1)
