"""Chat messages to token ids and labels, with the base model's own chat template.

The labels come from our own mask, which fits any template (``turns``). A template's own ``{% generation %}`` markers
are used where it has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from trainer.base_model.tokenization import BaseModelFacts
from trainer.data.frames import frames_of
from trainer.data.message import Message
from trainer.data.rendering import CLOSE, OPEN, Rendering, render, render_as, render_chat
from trainer.data.tokens import Span, Tokens, tokens_of
from trainer.data.turns import Turn, check_rendering, find_turns
from trainer.errors import BaseModelError

IGNORE_INDEX = -100
"""Label of a token that does not count in the loss. Source: PyTorch ``CrossEntropyLoss``."""

_GENERATION_TAG = re.compile(r"\{%-?\s*generation\s*-?%\}")

__all__ = ["IGNORE_INDEX", "EncodedSample", "MaskedText", "Message", "encode_chat", "mask_chat", "render"]


@dataclass(frozen=True)
class EncodedSample:
    """One sample as the model sees it.

    Attributes:
        input_ids: Token ids, at most ``max_length``.
        labels: The same length; ``IGNORE_INDEX`` where nothing is learned.
        total_tokens: Length before the cut.
        turn_end: Token that ends the last assistant turn; ``None`` if the template ends it with none.
        dropped_thoughts: Thoughts of earlier turns that the template leaves out.
    """

    input_ids: list[int]
    labels: list[int]
    total_tokens: int
    turn_end: str | None = None
    dropped_thoughts: int = 0

    @property
    def supervised_tokens(self) -> int:
        """Tokens that count in the loss."""
        return len(self.labels) - self.labels.count(IGNORE_INDEX)


@dataclass(frozen=True)
class MaskedText:
    """A chat as one text, and what of it is learned.

    Attributes:
        text: The rendered chat.
        spans: First character and end of each part that is learned, in order and apart from each other.
        turn_end: Token that ends the last assistant turn; ``None`` if the template ends it with none.
        dropped_thoughts: Thoughts of earlier turns that the template leaves out.
    """

    text: str
    spans: tuple[Span, ...]
    turn_end: str | None
    dropped_thoughts: int


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
        BaseModelError: If the template refuses the messages, leaves some out, or changes the assistant's words.
    """
    masked, tokens = tokens_of_chat(messages, facts, max_length=max_length, assistant_only=assistant_only)
    labels = [
        token if is_learned else IGNORE_INDEX for token, is_learned in zip(tokens.ids, tokens.flags(), strict=True)
    ]
    return EncodedSample(tokens.ids, labels, tokens.total, masked.turn_end, masked.dropped_thoughts)


def mask_chat(messages: Sequence[Message], facts: BaseModelFacts, *, assistant_only: bool) -> MaskedText:
    """Render messages with the chat template and find what is learned of the text.

    A turn that is not to be learned (``Message.learned``) is left out, also where everything else is learned.

    Raises:
        BaseModelError: If the template refuses the messages, leaves some out, or changes the assistant's words.
    """
    rendering = render_chat(messages, facts)
    seen = check_rendering(rendering, facts)
    kept_out = [index for index, message in enumerate(rendering.messages) if not message.learned]
    if assistant_only and not _has_markers(facts.chat_template):
        turns = find_turns(rendering, seen, facts)
        spans = [(turn.start, turn.end) for turn in turns if turn.index not in kept_out]
        return MaskedText(rendering.text, tuple(spans), turns[-1].end_token, seen.dropped_thoughts)
    spans = _marked_spans(rendering, facts) if assistant_only else [(0, len(rendering.text))]
    last_words = rendering.text[slice(*spans[-1])].rstrip() if spans else ""
    turn_end = next((token for token in frames_of(facts).special_tokens if last_words.endswith(token)), None)
    if kept_out:
        turns = find_turns(rendering, seen, facts)
        spans = _without(spans, [turn for turn in turns if turn.index in kept_out])
    return MaskedText(rendering.text, tuple(spans), turn_end, seen.dropped_thoughts)


@lru_cache(maxsize=8)
def _has_markers(chat_template: str) -> bool:
    return _GENERATION_TAG.search(chat_template) is not None


def tokens_of_chat(
    messages: Sequence[Message], facts: BaseModelFacts, *, max_length: int, assistant_only: bool
) -> tuple[MaskedText, Tokens]:
    """Return a chat as text and as tokens; the arguments and errors are those of ``encode_chat``."""
    masked = mask_chat(messages, facts, assistant_only=assistant_only)
    return masked, tokens_of(masked.text, masked.spans, facts.tokenizer, max_length=max_length)


def _without(spans: Iterable[Span], kept_out: Sequence[Turn]) -> list[Span]:
    """Return the spans without the turns that are not learned."""
    rest = list(spans)
    for turn in kept_out:
        rest = [
            part
            for first, end in rest
            for part in ((first, min(end, turn.start)), (max(first, turn.end), end))
            if part[0] < part[1]
        ]
    return rest


def _marked_spans(rendering: Rendering, facts: BaseModelFacts) -> list[Span]:
    marked = render_as(rendering.messages, facts, arguments_as_text=rendering.arguments_as_text, mark_generation=True)
    if marked.replace(OPEN, "").replace(CLOSE, "") != rendering.text:
        raise BaseModelError(
            "chat template: its {% generation %} markers change the text around them",
            resolution="set data.chat_template_path to a template whose generation markers enclose plain output",
        )
    first, *pieces = marked.split(OPEN)
    spans: list[Span] = []
    position = len(first)
    for piece in pieces:
        inside, _, after = piece.partition(CLOSE)
        spans.append((position, position + len(inside)))
        position += len(inside) + len(after)
    return spans
