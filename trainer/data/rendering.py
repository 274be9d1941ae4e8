"""Chat messages to one text, by the base model's own chat template, as ``transformers.apply_chat_template`` does it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import lru_cache, partial
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from trainer.base_model.tokenization import BaseModelFacts
from trainer.data.message import TOOLS, Message
from trainer.data.probes import ONE_CALL, WITH_SYSTEM
from trainer.data.stand_ins import STAND_IN, stand_in
from trainer.errors import BaseModelError

OPEN, CLOSE = "\U000f5e01", "\U000f5e02"
"""Private-use characters around the text that a template marks as generated, while it is looked for."""
_TEXT_METHODS = frozenset(name for name in dir(str) if name[0] != "_") - {"format", "format_map"}
_MAPPING_NAMES = frozenset(dir(dict))
_SCOPES, _PLAIN = (Namespace, LoopContext), (str, int, bool, dict, list)
_FAILURES = (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError)


@dataclass(frozen=True)
class Rendering:
    """A chat as one text.

    Attributes:
        text: The text.
        messages: The turns that it was made from: a system turn may have moved into the first question.
        arguments_as_text: Whether the template took the arguments of tool calls as JSON text only.
    """

    text: str
    messages: tuple[Message, ...]
    arguments_as_text: bool


def render(messages: Sequence[Message], facts: BaseModelFacts, *, add_generation_prompt: bool) -> str:
    """Return the messages as one text.

    Args:
        messages: The turns so far.
        facts: The base model's template and special tokens.
        add_generation_prompt: Open a turn for the assistant at the end.

    Raises:
        BaseModelError: If the template is not valid Jinja, or refuses the messages.
    """
    return render_chat(messages, facts, add_generation_prompt=add_generation_prompt).text


def render_chat(
    messages: Sequence[Message], facts: BaseModelFacts, *, add_generation_prompt: bool = False
) -> Rendering:
    """Return the messages as one text, and how the template took them.

    The arguments of a call are a mapping, or JSON text for a template that wants it.

    Raises:
        BaseModelError: If the template is not valid Jinja, or refuses the messages.
    """
    turns = placed(messages, facts)
    as_text = any(message.calls for message in turns) and takes_text(facts)
    try:
        text = render_as(turns, facts, arguments_as_text=as_text, add_generation_prompt=add_generation_prompt)
    except BaseModelError as err:
        is_broken = isinstance(err.__cause__, jinja2.TemplateSyntaxError)
        if is_broken or has_system_turn(facts) or all(message.role != "system" for message in turns):
            raise
        raise BaseModelError(err.message, details=err.details, resolution=system_remedy(facts)) from err
    return Rendering(text, turns, as_text)


def render_as(
    messages: Sequence[Message],
    facts: BaseModelFacts,
    *,
    arguments_as_text: bool,
    add_generation_prompt: bool = False,
    mark_generation: bool = False,
) -> str:
    """Return the messages as one text, with the arguments of calls in the form that is asked for.

    Raises:
        BaseModelError: If the template is not valid Jinja, or refuses the messages.
    """
    try:
        return _compile(facts.chat_template, mark_generation).render(
            **template_inputs(messages, facts, arguments_as_text=arguments_as_text),
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **facts.named_tokens,
        )
    except jinja2.TemplateSyntaxError as err:
        raise BaseModelError(
            f"chat template: it is not valid Jinja, in its line {err.lineno}: {err.message}",
            resolution="set data.chat_template_path to a template that is; without it the base model's own is used",
        ) from err
    except _FAILURES as err:
        raise BaseModelError(
            f"chat template: it refuses these messages: {err}",
            details=f"roles: {', '.join(message.role for message in messages if message.role != TOOLS)}",
            resolution="bring the samples into the template's order of roles, or set data.chat_template_path",
        ) from err


def template_inputs(messages: Sequence[Message], facts: BaseModelFacts, *, arguments_as_text: bool) -> dict[str, Any]:
    """Return the messages, the tools and the day as a chat template takes them.

    Args:
        messages: As ``Rendering.messages`` has them.
        facts: Has the day that a template is to write.
        arguments_as_text: As ``Rendering.arguments_as_text`` has it.
    """
    tools = next((json.loads(message.content) for message in messages if message.role == TOOLS), None)
    return {
        "messages": [
            message.for_template(arguments_as_text=arguments_as_text) for message in messages if message.role != TOOLS
        ],
        "tools": tools,
        "strftime_now": partial(_strftime, facts.today),
    }


def placed(messages: Sequence[Message], facts: BaseModelFacts) -> tuple[Message, ...]:
    """Return the turns, the system turn in front of the first question where the template has no place for it.

    Only with ``data.system_prompt: first_user_turn``.
    """
    turns = tuple(messages)
    at = next((index for index, message in enumerate(turns) if message.role == "system"), None)
    if facts.system_prompt != "first_user_turn" or at is None or has_system_turn(facts):
        return turns
    system, rest = turns[at], turns[at + 1 :]
    if not rest or rest[0].role != "user":
        return turns
    return (*turns[:at], replace(rest[0], content=f"{system.content}\n\n{rest[0].content}"), *rest[1:])


def system_remedy(facts: BaseModelFacts) -> str:
    """Return what to do with a system turn that the template has no place for."""
    if facts.system_prompt == "first_user_turn":
        return "let a question follow the system turn, so that it can go in front of it, or take the system turn out"
    return (
        "set `data.system_prompt: first_user_turn`, which puts it before the first question, or take the system turns "
        "out"
    )


@lru_cache(maxsize=8)
def has_system_turn(facts: BaseModelFacts) -> bool:
    """Return whether the template renders a system turn when it trains; some do so for a question alone, or never."""
    return _shows("system", WITH_SYSTEM, facts, arguments_as_text=False)


@lru_cache(maxsize=8)
def takes_text(facts: BaseModelFacts) -> bool:
    """Return whether the template takes the arguments of calls as JSON text only.

    It then fails on a mapping, or writes it in Python's way, which escapes a stand-in.
    """
    as_mapping, as_text = (
        _shows("assistant", ONE_CALL[:3], facts, arguments_as_text=as_text) for as_text in (False, True)
    )
    return as_text and not as_mapping


def _shows(role: str, chat: Sequence[Message], facts: BaseModelFacts, *, arguments_as_text: bool) -> bool:
    """Return whether the template renders all texts of a role."""
    stand_ins = stand_in(chat)
    try:
        text = render_as(stand_ins.messages, facts, arguments_as_text=arguments_as_text)
    except BaseModelError:
        return False
    wanted = {str(number) for number, slot in enumerate(stand_ins.slots) if chat[slot.turn].role == role}
    return wanted <= set(STAND_IN.findall(text))


@lru_cache(maxsize=8)
def _compile(chat_template: str, mark_generation: bool) -> jinja2.Template:
    """Compile a template in the sandbox, with what transformers gives a chat template to work with."""
    environment = _Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_MarkedGeneration if mark_generation else _PlainGeneration, loopcontrols],
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    return environment.from_string(chat_template)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, with a short way to what templates look at most: it gives what the long one gives.

    These are keys of messages that no method of a dict has the name of; methods of a text but those that format, which
    the sandbox wraps; plain values of a loop or a namespace.
    """

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict and attribute not in _MAPPING_NAMES and attribute in obj:
            return obj[attribute]
        if type(obj) is str and attribute in _TEXT_METHODS:
            return getattr(obj, attribute)
        if type(obj) in _SCOPES and attribute[0] != "_":
            value = getattr(obj, attribute, None)
            if type(value) in _PLAIN:
                return value
        return super().getattr(obj, attribute)


class _PlainGeneration(Extension):
    """``{% generation %} … {% endgeneration %}`` stands around the assistant's words and changes nothing."""

    tags = {"generation"}  # noqa: RUF012 - jinja's own way to name them
    marks = ("", "")

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_between_marks"), [], [], body).set_lineno(line)

    def _between_marks(self, caller: Callable[[], str]) -> str:
        return self.marks[0] + caller() + self.marks[1]


class _MarkedGeneration(_PlainGeneration):
    """The same, with a private-use character before and after the words, so that they can be found."""

    marks = (OPEN, CLOSE)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    """Write JSON without the HTML escapes of Jinja's own filter."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime(today: date | None, pattern: str) -> str:
    """Write the day of the run; the day that it is, in local time as transformers has it, where the run has none."""
    moment = datetime.now() if today is None else datetime.combine(today, time())  # noqa: DTZ005
    return moment.strftime(pattern)
