"""transformers' tokenizer against ``tokenizer.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, pre_tokenizers

from tests.tiny_model import make_tiny_model
from trainer.base_model.load import load_tokenizer
from trainer.base_model.same_ids import refuse_other_ids
from trainer.base_model.tokenization import load_base_model_facts
from trainer.config.sections import DataSection, ModelSection
from trainer.errors import BaseModelError

TEXTS = ("<|im_start|>user\nPage 24: what is it?<|im_end|>\n", "a bridge")


def both(folder: Path, change: Any) -> tuple[Any, Any]:
    """Return transformers' tokenizer of a model, and its facts after a change of its ``tokenizer.json``."""
    model, data = ModelSection(base_model=str(folder)), DataSection(max_length=64)
    tokenizer = load_tokenizer(str(folder), load_base_model_facts(model, data), model)
    changed = Tokenizer.from_str((folder / "tokenizer.json").read_text())
    change(changed)
    changed.save(str(folder / "tokenizer.json"))
    return tokenizer, load_base_model_facts(model, data)


def test_a_tokenizer_that_gives_the_same_ids_is_taken(tiny_model: Path) -> None:
    model, data = ModelSection(base_model=str(tiny_model)), DataSection(max_length=64)
    facts = load_base_model_facts(model, data)

    refuse_other_ids(load_tokenizer(str(tiny_model), facts, model), facts, TEXTS)


def test_digits_that_are_split_otherwise_are_refused_and_both_are_named(tmp_path: Path) -> None:
    def split_digits(tokenizer: Tokenizer) -> None:
        bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False)
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_of])

    tokenizer, facts = both(make_tiny_model(tmp_path / "model"), split_digits)

    refuse_other_ids(tokenizer, facts, ["no digit in it"])
    with pytest.raises(BaseModelError) as caught:
        refuse_other_ids(tokenizer, facts, TEXTS)

    name = type(tokenizer).__name__
    assert f"transformers' {name} gives other ids than the tokenizer.json of {tmp_path / 'model'}: " in (
        caught.value.message
    )
    assert "['Ġ24', ':', " in caught.value.message
    assert "where tokenizer.json has ['Ġ', '2', '4', " in caught.value.message
    assert "AutoTokenizer.from_pretrained" in caught.value.resolution
    assert caught.value.exit_code == 2


def test_a_text_that_only_goes_on_in_one_of_them_is_refused(tmp_path: Path) -> None:
    def end_it(tokenizer: Tokenizer) -> None:
        from tokenizers import normalizers

        tokenizer.normalizer = normalizers.Strip()

    tokenizer, facts = both(make_tiny_model(tmp_path / "model"), end_it)

    with pytest.raises(BaseModelError, match=r"where tokenizer\.json has \[\]"):
        refuse_other_ids(tokenizer, facts, ["a bridge   "])
