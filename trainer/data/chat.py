"""Chat messages to token ids and labels, with the base model's own chat template.

The labels come from our own mask, which fits any template that only ever appends: what the template adds for an
assistant turn is the difference between the text up to its prompt and the text after it. A template's own
``{% generation %}`` markers are used where it has them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from trainer.base_model.tokenization import BaseModelFacts
from trainer.errors import BaseModelError

IGNORE_INDEX = -100
"""Label of a token that does not count in the loss. Source: PyTorch ``CrossEntropyLoss``."""

Span = tuple[int, int]
_GENERATION_TAG = re.compile(r"\{%-?\s*generation\s*-?%\}")
_OPEN, _CLOSE = "\U000f5e01", "\U000f5e02"  # private-use characters around generated text while spans are sought


@dataclass(frozen=True)
class Message:
    """One turn of a chat.

    Attributes:
        role: ``system``, ``user`` or ``assistant``.
        content: What was said.
    """

    role: str
    content: str


@dataclass(frozen=True)
class EncodedSample:
    """One sample as the model sees it.

    Attributes:
        input_ids: Token ids, at most ``max_length``.
        labels: The same length; ``IGNORE_INDEX`` where nothing is learned.
        total_tokens: Length before the cut.
        turn_end: Token that ends the last assistant turn; ``None`` if the template ends it with none.
    """

    input_ids: list[int]
    labels: list[int]
    total_tokens: int
    turn_end: str | None = None

    @property
    def supervised_tokens(self) -> int:
        """Tokens that count in the loss."""
        return len(self.labels) - self.labels.count(IGNORE_INDEX)


def encode_chat(
    messages: Sequence[Message], facts: BaseModelFacts, *, max_length: int, assistant_only: bool
) -> EncodedSample:
    """Render messages with the chat template and return token ids with labels.

    Args:
        messages: A whole sample, its last turn the assistant's.
        facts: The base model's tokenizer and template.
        max_length: Tokens to keep, from the start.
        assistant_only: Label the assistant's words and its end-of-turn token only, instead of everything.

    Returns:
        Ids and labels of the same length (T,).

    Raises:
        BaseModelError: If the template refuses the messages, or changes earlier turns when a turn is added.
    """
    text = render(messages, facts, add_generation_prompt=False)
    encoding = facts.tokenizer.encode(text, add_special_tokens=False)
    ids: list[int] = encoding.ids
    if not assistant_only:
        turn_end = next((token for token in _end_tokens(facts) if text.rstrip().endswith(token)), None)
        return EncodedSample(ids[:max_length], ids[:max_length], len(ids), turn_end)
    spans, turn_end = _assistant_spans(messages, facts, text)
    labels = _labels(ids, encoding.offsets, spans)
    return EncodedSample(ids[:max_length], labels[:max_length], len(ids), turn_end)


def render(messages: Sequence[Message], facts: BaseModelFacts, *, add_generation_prompt: bool) -> str:
    """Return the messages as one text, as ``transformers.apply_chat_template`` renders it.

    Args:
        messages: The turns so far.
        facts: The base model's template and special tokens.
        add_generation_prompt: Open a turn for the assistant at the end.

    Raises:
        BaseModelError: If the template is not valid Jinja, or refuses the messages.
    """
    return _render(messages, facts, add_generation_prompt=add_generation_prompt, mark_generation=False)


def _render(
    messages: Sequence[Message], facts: BaseModelFacts, *, add_generation_prompt: bool, mark_generation: bool
) -> str:
    try:
        return _compile(facts.chat_template, mark_generation).render(
            messages=[{"role": message.role, "content": message.content} for message in messages],
            tools=None,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **facts.named_tokens,
        )
    except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError) as err:
        raise BaseModelError(
            f"chat template: it refuses these messages: {err}",
            details=f"roles: {', '.join(message.role for message in messages)}",
            resolution="bring the samples into the template's order of roles, or set data.chat_template_path",
        ) from err


@lru_cache(maxsize=8)
def _compile(chat_template: str, mark_generation: bool) -> jinja2.Template:
    """Compile a template in the sandbox, with what transformers gives a chat template to work with."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_MarkedGeneration if mark_generation else _PlainGeneration, loopcontrols],
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment.from_string(chat_template)


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

    marks = (_OPEN, _CLOSE)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    """Write JSON without the HTML escapes of Jinja's own filter."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)  # noqa: DTZ005 - templates write the local date, as transformers does


def _assistant_spans(messages: Sequence[Message], facts: BaseModelFacts, text: str) -> tuple[list[Span], str | None]:
    """Return where the assistant speaks in ``text``, in characters, and the token that ends its last turn."""
    if _GENERATION_TAG.search(facts.chat_template) is None:
        return _spans_by_difference(messages, facts, text)
    spans = _marked_spans(messages, facts, text)
    last_turn = text[slice(*spans[-1])].rstrip() if spans else ""
    return spans, next((token for token in _end_tokens(facts) if last_turn.endswith(token)), None)


def _spans_by_difference(
    messages: Sequence[Message], facts: BaseModelFacts, text: str
) -> tuple[list[Span], str | None]:
    spans: list[Span] = []
    turn_end: str | None = None
    for index, message in enumerate(messages):
        if message.role != "assistant":
            continue
        prompt = render(messages[:index], facts, add_generation_prompt=True)
        whole = (
            text if index + 1 == len(messages) else render(messages[: index + 1], facts, add_generation_prompt=False)
        )
        if not (text.startswith(whole) and whole.startswith(prompt)):
            raise BaseModelError(
                f"chat template: turn {index + 1} of {len(messages)} is not rendered the same once more turns follow, "
                "so the assistant's words cannot be distinguished from the rest",
                resolution="set data.chat_template_path to a template that only appends, or that has "
                "{% generation %} markers, or set `assistant_only_loss: false`",
            )
        length, turn_end = _turn_length(whole[len(prompt) :], message.content, facts)
        spans.append((len(prompt), len(prompt) + length))
    return spans, turn_end


def _turn_length(turn: str, content: str, facts: BaseModelFacts) -> tuple[int, str | None]:
    """Return how much of a rendered turn is learned, in characters, and the token that ends it.

    The end is the base's own end token, or else another special token after the words (some templates end a turn with
    one of their own and leave the end token to the base). What follows it, mostly a newline, is not learned.
    """
    words = content.strip()  # many templates strip it
    words_end = turn.rfind(words) + len(words) if words in turn else 0
    for token in _end_tokens(facts):
        start = turn.rfind(token, words_end) if token == facts.eos_token else turn.find(token, words_end)
        if start >= 0:
            return start + len(token), token
    return len(turn.rstrip()), None


def _end_tokens(facts: BaseModelFacts) -> list[str]:
    return [facts.eos_token, *(token for token in facts.special_tokens if token != facts.eos_token)]


def _marked_spans(messages: Sequence[Message], facts: BaseModelFacts, text: str) -> list[Span]:
    marked = _render(messages, facts, add_generation_prompt=False, mark_generation=True)
    if marked.replace(_OPEN, "").replace(_CLOSE, "") != text:
        raise BaseModelError(
            "chat template: its {% generation %} markers change the text around them",
            resolution="set data.chat_template_path to a template whose generation markers enclose plain output",
        )
    first, *pieces = marked.split(_OPEN)
    spans: list[Span] = []
    position = len(first)
    for piece in pieces:
        inside, _, after = piece.partition(_CLOSE)
        spans.append((position, position + len(inside)))
        position += len(inside) + len(after)
    return spans


def _labels(ids: Sequence[int], offsets: Sequence[Span], spans: Sequence[Span]) -> list[int]:
    """Label each token that begins inside a span with itself, the rest with ``IGNORE_INDEX``.

    Some tokenizers give whitespace tokens no width and place them at their end: such a token belongs to a span if it
    ends inside it.
    """
    return [
        token if any(_belongs(start, end, span) for span in spans) else IGNORE_INDEX
        for token, (start, end) in zip(ids, offsets, strict=True)
    ]


def _belongs(start: int, end: int, span: Span) -> bool:
    return span[0] <= start < span[1] if end > start else span[0] < start <= span[1]
