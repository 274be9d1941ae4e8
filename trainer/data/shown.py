"""What is learned of a sample, for people: its words as the model sees them, in parts that are learned or are not."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from trainer.base_model.tokenization import BaseModelFacts
from trainer.data.chat import mask_chat
from trainer.data.message import Message
from trainer.data.tokens import tokens_of

SAMPLES = 3
"""Samples that are shown."""
LONGEST_PART, PARTS = 300, 24
_OPEN, _CLOSE = "\U000f5e05", "\U000f5e06"  # private-use characters in place of the marks while lines are wrapped
_GREEN, _RESET = "\x1b[32m", "\x1b[0m"
_WIDTH = 90  # of 100: a line may hold marks, which are wider than what stands for them


@dataclass(frozen=True)
class Part:
    """Words that stand together, and whether they are learned."""

    text: str
    learned: bool


@dataclass(frozen=True)
class ShownSample:
    """One sample: its line in the file, and its parts in order. Long parts have their middle left out."""

    line: int
    parts: tuple[Part, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"line": self.line, "parts": [{"text": part.text, "learned": part.learned} for part in self.parts]}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> ShownSample:
        """Return the sample of which ``to_mapping`` made this."""
        return cls(values["line"], tuple(Part(part["text"], part["learned"]) for part in values["parts"]))


def show_sample(
    line: int, messages: Sequence[Message], facts: BaseModelFacts, *, max_length: int, assistant_only: bool
) -> ShownSample:
    """Return a sample in parts, as its tokens are labelled, up to ``max_length`` tokens.

    Args:
        line: Its line in the file.
        messages: Its turns.
        facts: The base model's tokenizer and template.
        max_length: Tokens that are kept.
        assistant_only: Whether the assistant's words alone are learned.

    Raises:
        BaseModelError: If the template does not fit the sample.
    """
    masked = mask_chat(messages, facts, assistant_only=assistant_only)
    tokens = tokens_of(masked.text, masked.spans, facts.tokenizer, max_length=max_length)
    places = facts.tokenizer.encode(masked.text, add_special_tokens=False).offsets[:max_length]
    groups = [
        (learned, [start for (start, _), _ in group])
        for learned, group in groupby(zip(places, tokens.flags(), strict=True), key=lambda token: bool(token[1]))
    ]
    starts = [first[0] for _, first in groups]
    ends = [*starts[1:], places[-1][1] if places else 0]
    parts = [
        Part(_shortened(visible(masked.text[start:end])), learned)
        for (learned, _), start, end in zip(groups, starts, ends, strict=True)
        if start < end
    ]
    return ShownSample(line, tuple(parts[:PARTS]))


def visible(text: str) -> str:
    """Return text with a visible escape for each character that would steer a terminal or hide others."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else _escape(char) for char in text)


def shown_text(samples: Sequence[ShownSample], *, colour: bool) -> str:
    """Return samples as text, what is learned in green or between ``[[`` and ``]]``; no line is over 100 columns.

    Args:
        samples: The samples.
        colour: Whether the text goes to a terminal.
    """
    how = "in green" if colour else "between [[ and ]]"
    lines = [f"What is learned, {how}, of the first training samples"]
    for sample in samples:
        marked = "".join(f"{_OPEN}{part.text}{_CLOSE}" if part.learned else part.text for part in sample.parts)
        lines += [f"line {sample.line:,}", *_marked_lines(marked, colour)]
    return "\n".join(lines)


def _marked_lines(marked: str, colour: bool) -> Iterator[str]:
    opening, closing = (_GREEN, _RESET) if colour else ("[[", "]]")
    is_open = False
    for line in marked.expandtabs(4).split("\n"):
        for piece in textwrap.wrap(line, _WIDTH, drop_whitespace=False, replace_whitespace=False) or [""]:
            before = _GREEN if colour and is_open else ""  # each line by itself: a pager may show one alone
            is_open = piece.rfind(_OPEN) > piece.rfind(_CLOSE) or (is_open and _CLOSE not in piece)
            after = _RESET if colour and is_open else ""
            yield "  " + before + piece.replace(_OPEN, opening).replace(_CLOSE, closing) + after


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_PART:
        return text
    half = LONGEST_PART // 2
    return f"{text[:half]} … {len(text) - 2 * half:,} characters … {text[-half:]}"
