"""The tokenizer that transformers makes of a base model, against the ``tokenizer.json`` that samples are encoded with.

transformers may take a class of its own for a model, which splits text by rules of its own and says nothing of it. Who
uses the adapter uses that class, so that the adapter would be asked in other tokens than it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from trainer.errors import BaseModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from trainer.base_model.tokenization import BaseModelFacts

ENOUGH_TEXTS = 1000
"""Texts that are worth comparing, spread over all that there are; more cost minutes where there is much data."""
SHOWN_TOKENS = 4


def refuse_other_ids(tokenizer: PreTrainedTokenizerBase, facts: BaseModelFacts, texts: Iterable[str]) -> None:
    """Compare both tokenizers on texts of the run.

    Args:
        tokenizer: The one that transformers made.
        facts: The base model's facts, with the tokenizer of ``tokenizer.json``.
        texts: Rendered samples.

    Raises:
        BaseModelError: If a text gets other ids from one than from the other.
    """
    for text in texts:
        theirs = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        trained = facts.tokenizer.encode(text, add_special_tokens=False).ids
        if theirs != trained:
            raise _differ(tokenizer, facts, theirs, trained)


def _differ(
    tokenizer: PreTrainedTokenizerBase, facts: BaseModelFacts, theirs: list[int], trained: list[int]
) -> BaseModelError:
    pairs = zip(theirs, trained, strict=False)
    first = next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(theirs), len(trained)))
    shown = slice(first, first + SHOWN_TOKENS)
    mine = [facts.tokenizer.id_to_token(one) for one in trained[shown]]
    name = type(tokenizer).__name__
    return BaseModelError(
        f"base model: transformers' {name} gives other ids than the tokenizer.json of {facts.source}: "
        f"{tokenizer.convert_ids_to_tokens(theirs[shown])} where tokenizer.json has {mine}",
        resolution=f"take another copy of the base model; or, if {name} is right, save its tokenizer again in a local "
        "copy (AutoTokenizer.from_pretrained(copy).save_pretrained(copy)) and set model.base_model to that",
    )
