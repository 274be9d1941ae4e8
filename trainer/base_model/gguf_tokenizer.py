"""The byte-level BPE tokenizer that a GGUF file describes, built as transformers builds it.

A GGUF file has no ``tokenizer.json``: it lists tokens, merges and token types under llama.cpp's key names. The rules
below are those of ``transformers.integrations.gguf`` (5.23), so that data checked here has exactly the token ids that
training uses. Kinds for which we have no such rule are refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from trainer.base_model.gguf_header import read_header
from trainer.errors import BaseModelError

CONTROL = 3  # token type: special, like <|im_end|>
USER_DEFINED = 4  # token type: always whole, but text, like <think>

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LINES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_LINES}"
_QWEN2 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_LINES}"

GPT2_SPLIT = ("gpt-2", "gpt2", "default", "smollm")
"""Values of ``tokenizer.ggml.pre`` for which text is split as GPT-2 does."""
SPLITS: dict[str, str] = {
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3", "pixtral", "lfm2", "smaug-bpe", "dbrx"), _LLAMA3),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez"), _QWEN2),
}
"""Values of ``tokenizer.ggml.pre`` with a split pattern of their own."""

ResultParts = tuple[Tokenizer, str | None, dict[str, str | None], int | None]


def read_gguf_tokenizer(path: Path) -> ResultParts:
    """Read tokenizer, chat template, named tokens and longest sequence from a GGUF file.

    Returns:
        The four, in the order of ``trainer.base_model.tokenization.TokenizerParts``.

    Raises:
        BaseModelError: If the file is broken, or its tokenizer is of a kind that cannot be built here.
    """
    fields = read_header(path)
    kind, split = fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre") or "default"
    if kind != "gpt2" or (split not in GPT2_SPLIT and split not in SPLITS):
        raise BaseModelError(
            f"base model: {path.name} has a tokenizer of kind {kind}/{split}, which cannot be built from a GGUF file",
            resolution="set model.base_model to the Hub id or folder of the same model, which has a tokenizer.json",
        )
    tokens = fields.get("tokenizer.ggml.tokens") or []
    tokenizer = _byte_level_bpe(
        tokens, fields.get("tokenizer.ggml.merges") or [], split, fields.get("general.architecture")
    )
    _add_special_tokens(tokenizer, tokens, fields.get("tokenizer.ggml.token_type") or [])
    ids = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    named: dict[str, str | None] = {
        name: _token_at(tokens, fields.get(f"tokenizer.ggml.{key}_token_id")) for name, key in ids.items()
    }
    architecture = fields.get("general.architecture")
    return tokenizer, fields.get("tokenizer.chat_template"), named, fields.get(f"{architecture}.context_length")


def _token_at(tokens: Sequence[str], token_id: int | None) -> str | None:
    return tokens[token_id] if token_id is not None and 0 <= token_id < len(tokens) else None


def _byte_level_bpe(tokens: Sequence[str], merges: Sequence[str], split: str, architecture: Any) -> Tokenizer:
    spelling = _byte_spelling()
    alphabet = set(spelling)
    vocabulary = {
        token if set(token) <= alphabet else "".join(spelling[byte] for byte in token.encode()): index
        for index, token in enumerate(tokens)
    }
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=pairs, continuing_subword_prefix="", end_of_word_suffix=""))
    if split in SPLITS:
        pattern = pre_tokenizers.Split(Regex(SPLITS[split]), behavior="isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pattern, byte_level])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if isinstance(architecture, str) and architecture.startswith("qwen"):
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _add_special_tokens(tokenizer: Tokenizer, tokens: Sequence[str], types: Sequence[int]) -> None:
    alphabet = set(_byte_spelling())
    typed = list(zip(tokens, types, strict=False))
    # A control token outside the byte alphabet is a mislabel of llama.cpp and would grow the vocabulary.
    control = [token for token, kind in typed if kind == CONTROL and set(token) <= alphabet]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    whole = [token for token, kind in typed if kind == USER_DEFINED and tokenizer.token_to_id(token) is not None]
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in whole])


def _byte_spelling() -> list[str]:
    """Return the printable character that stands for each byte. Source: GPT-2's ``bytes_to_unicode``."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
