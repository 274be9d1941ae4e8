"""Which tokens are learned: the rule itself, token by token, against both ways to find the borders."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tokenizers import AddedToken, Encoding, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from tests.unit.trainer.small_facts import TEXT, small_tokenizer
from trainer.data.tokens import Span, tokens_of

PIECES = ["answer", " ", "   ", "\n", "é", "e\u0301", "日本", "🙂", "ﬁ", "<|im_end|>", "Yes", "12", "\t"]


def trimming() -> Tokenizer:
    tokenizer = small_tokenizer()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def composing() -> Tokenizer:
    """Return a tokenizer as Qwen has it: letters and their marks become one character."""
    tokenizer = small_tokenizer()
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def swallowing() -> Tokenizer:
    """Return a tokenizer with a special token that takes the white space around it."""
    tokenizer = small_tokenizer()
    tokenizer.add_special_tokens([AddedToken("12", lstrip=True, rstrip=True)])
    return tokenizer


def of_words() -> Tokenizer:
    """Return a tokenizer as BERT has it: it takes marks off letters and writes them small."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="?"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        TEXT, trainers.WordPieceTrainer(vocab_size=200, special_tokens=["?", "<|im_end|>"], show_progress=False)
    )
    return tokenizer


def of_pieces() -> Tokenizer:
    """Return a tokenizer as Llama 2 has it: spaces are letters, one comes first, unknown characters become bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="?"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Prepend("▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    special = ["?", "<|im_end|>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    )
    return tokenizer


TOKENIZERS = [small_tokenizer, trimming, composing, swallowing, of_words, of_pieces]


class Counting:
    """A tokenizer that counts how often the places of a text's tokens are asked for."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self.times = tokenizer, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, text: str, **options: Any) -> Encoding:
        self.times += 1
        return self._tokenizer.encode(text, **options)


def learned_by_the_rule(encoding: Encoding, spans: Sequence[Span]) -> list[bool]:
    places = [start if end > start else start - 1 for start, end in encoding.offsets]
    return [any(first <= place < end for first, end in spans) for place in places]


def spans_of(borders: Sequence[int]) -> list[Span]:
    return list(zip(borders[::2], borders[1::2], strict=True))


@pytest.mark.parametrize("borders", ["anywhere", "where tokens begin"])
@pytest.mark.parametrize("make", TOKENIZERS)
def test_a_token_is_learned_where_it_begins_in_what_is_learned(make: Callable[[], Tokenizer], borders: str) -> None:
    tokenizer, chance = make(), random.Random(7)
    for _ in range(60):
        text = "".join(chance.choices(PIECES, k=30))
        encoding = tokenizer.encode(text, add_special_tokens=False)
        starts = {0, len(text), *(start for start, _ in encoding.offsets)}
        spans = spans_of(sorted(chance.sample(range(len(text) + 1) if borders == "anywhere" else sorted(starts), 6)))

        tokens = tokens_of(text, spans, tokenizer, max_length=40)

        assert tokens.ids == encoding.ids[:40]
        assert list(map(bool, tokens.flags())) == learned_by_the_rule(encoding, spans)[:40]
        assert sum(end - first for first, end in tokens.learned) == sum(tokens.flags())
        assert tokens.total == len(encoding.ids)


@pytest.mark.parametrize("make", [small_tokenizer, composing])
def test_places_are_not_asked_for_where_the_tokens_spell_the_text(make: Callable[[], Tokenizer]) -> None:
    tokenizer: Any = Counting(make())

    tokens = tokens_of("é 日本<|im_end|>Yes<|im_end|>", [(14, 27)], tokenizer, max_length=99)

    assert tokenizer.decode([one for one, kept in zip(tokens.ids, tokens.flags(), strict=True) if kept]) == "Yes"
    assert tokenizer.times == 0


@pytest.mark.parametrize(
    ("text", "span"),
    [("the answer", (6, 10)), ("Yes e\u0301", (0, 4))],
    ids=["a border within a token", "other letters"],
)
def test_places_are_asked_for_where_the_tokens_do_not_say_enough(text: str, span: Span) -> None:
    tokenizer: Any = Counting(composing())

    tokens = tokens_of(text, [span], tokenizer, max_length=99)

    assert tokenizer.times == 1
    assert list(map(bool, tokens.flags())) == learned_by_the_rule(tokenizer.encode(text), [span])


@pytest.mark.parametrize("make", TOKENIZERS)
def test_a_text_without_tokens_has_nothing_to_learn(make: Callable[[], Tokenizer]) -> None:
    assert tokens_of("", [(0, 0)], make(), max_length=9).flags() == b""
