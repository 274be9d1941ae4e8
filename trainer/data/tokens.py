"""A text as token ids, and which of them are learned.

A token is learned if it begins inside a span. Where tokens begin takes a tokenizer a quarter of its time to note, and
need not be noted where they spell the text, as those of a byte-level tokenizer do: then their lengths say it. That they
do is seen by comparing bytes, text by text. Where they do not, or a border lies within a token, the places that the
tokenizer notes count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple

from tokenizers import Encoding, Tokenizer

Span = tuple[int, int]
_PROBE = "Is it 12,\n  or \u00e9?"
_NO_TEXT = b"\xff"  # in no UTF-8 text


class Tokens(NamedTuple):
    """A text as tokens.

    Attributes:
        ids: The token ids that are kept, T of them.
        learned: The first token and the end of each part that is learned, in order.
        total: Tokens before the cut.
    """

    ids: list[int]
    learned: tuple[Span, ...]
    total: int

    def flags(self) -> bytearray:
        """Return for each token that is kept whether it is learned: a byte, 1 or 0."""
        flags = bytearray(len(self.ids))
        for first, end in self.learned:
            flags[first:end] = b"\1" * (end - first)
        return flags


def tokens_of(text: str, spans: Sequence[Span], tokenizer: Tokenizer, *, max_length: int) -> Tokens:
    """Return a text as tokens.

    Args:
        text: The text.
        spans: First character and end of each part that is learned, in order and apart from each other.
        tokenizer: The base model's.
        max_length: Tokens to keep, from the start.
    """
    spelled = _spelled(text, spans, tokenizer) if _spells(tokenizer) else None
    if spelled is None:
        encoding = tokenizer.encode(text, add_special_tokens=False)
        spelled = encoding.ids, list(_placed(spans, encoding))
    ids, learned = spelled
    kept = tuple((first, min(end, max_length)) for first, end in learned if first < max_length)
    return Tokens(ids[:max_length], kept, len(ids))


def _placed(spans: Iterable[Span], encoding: Encoding) -> Iterator[Span]:
    """Yield the first token and the end of each part that is learned, by the places that the tokenizer notes.

    Some tokenizers give white space tokens no width and place them at their end: such a token belongs to a span if it
    ends inside it. Only the borders are looked for, by halving: the places of all tokens, as Python has them, take as
    long as the rest.
    """

    def place(token: int) -> int:
        at, end = encoding.token_to_chars(token)  # type: ignore[misc] # None is for a token that is not there
        return at if end > at else at - 1

    tokens, end = range(len(encoding)), 0
    for span in spans:
        first = bisect_left(tokens, span[0], lo=end, key=place)
        end = bisect_left(tokens, span[1], lo=first, key=place)
        yield first, end


def _spelled(text: str, spans: Sequence[Span], tokenizer: Tokenizer) -> tuple[list[int], list[Span]] | None:
    """Return ids and what is learned of them, or ``None`` if the tokens do not spell the text or cross a border."""
    (encoding,) = tokenizer.encode_batch_fast([text], add_special_tokens=False)
    ids, written = encoding.ids, text.encode()
    spellings, spelled = _spellings(tokenizer).of(ids)
    if spelled != written:
        return None
    ends = list(accumulate(map(len, spellings), initial=0))
    learned: list[Span] = []
    for span in spans:
        places = span if len(written) == len(text) else tuple(len(text[:border].encode()) for border in span)
        first, end = (bisect_left(ends, place) for place in places)
        if (ends[first], ends[end]) != places:
            return None
        learned.append((first, end))
    return ids, learned


@lru_cache(maxsize=8)
def _spells(tokenizer: Tokenizer) -> bool:
    """Return whether a tokenizer's tokens spell a text as a rule."""
    return _spelled(_PROBE, (), tokenizer) is not None


class _Spellings:
    """What the tokens of a byte-level tokenizer stand for; each is looked up when it is first met."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._added = {number: token.content for number, token in tokenizer.get_added_tokens_decoder().items()}
        self._known: list[bytes | None] = [None]

    def of(self, ids: Sequence[int]) -> tuple[tuple[bytes, ...], bytes]:
        """Return what some tokens stand for, one by one and together."""
        try:
            found: tuple[bytes, ...] = itemgetter(0, 0, *ids)(self._known)[2:]  # twice as fast as a loop
            return found, b"".join(found)
        except (IndexError, TypeError):  # not all of them are known
            self._known += [None] * (max(ids) + 1 - len(self._known))
            for number in ids:
                self._known[number] = self._known[number] or self._look_up(number)
            return self.of(ids)

    def _look_up(self, number: int) -> bytes:
        if number in self._added:
            return self._added[number].encode() or _NO_TEXT
        return b"".join(_BYTES.get(char, _NO_TEXT) for char in self._tokenizer.id_to_token(number) or "") or _NO_TEXT


_spellings = lru_cache(maxsize=8)(_Spellings)


def _byte_characters() -> dict[str, bytes]:
    """Return the byte that each letter of a byte-level tokenizer stands for.

    Printable ones stand for themselves, the others have the letters from U+0100 on. Source: GPT-2's
    ``bytes_to_unicode``.
    """
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [code for code in range(0x100) if code not in plain]
    letters = {**{code: code for code in plain}, **{code: 0x100 + number for number, code in enumerate(others)}}
    return {chr(letter): bytes([code]) for code, letter in letters.items()}


_BYTES = _byte_characters()
