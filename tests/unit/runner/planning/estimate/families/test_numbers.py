"""Numbers of a configuration: what may be left out, and what is no number."""

from __future__ import annotations

from typing import Any

import pytest

from runner.planning.estimate.families.numbers import NumberError, Numbers


def numbers(config: dict[str, Any], *, is_nested: bool = False, **defaults: Any) -> Numbers:
    return Numbers(config, defaults, {"hidden_size": "n_embd"}, is_nested)


@pytest.mark.parametrize("value", ["4096", 4096.0, True, -1, 0, 2**31, 10**400, [8], {"a": 1}])
def test_what_is_no_number_is_named_with_its_value(value: Any) -> None:
    with pytest.raises(NumberError, match=r"^has head_dim: .{1,42}, which is no whole number from 1 to"):
        numbers({"head_dim": value}).given("head_dim")


def test_a_size_that_is_null_or_missing_is_missed() -> None:
    for config in ({}, {"vocab_size": None}):
        with pytest.raises(NumberError, match=r"^lacks vocab_size$"):
            _ = numbers(config, vocab_size=32000).vocabulary


def test_a_part_of_another_configuration_leaves_out_what_is_as_by_default() -> None:
    assert numbers({}, is_nested=True, vocab_size=32000).vocabulary == 32000


def test_other_numbers_are_as_by_default_where_nothing_is_said() -> None:
    assert numbers({}, head_dim=256)["head_dim"] == 256
    assert numbers({"head_dim": None}, head_dim=256).given("head_dim") is None


def test_a_number_has_the_familys_own_name_or_the_common_one() -> None:
    assert numbers({"n_embd": 64}).hidden == numbers({"hidden_size": 64}).hidden == 64


def test_all_names_of_a_number_are_read_the_older_before_the_familys_own() -> None:
    bloom = Numbers({"n_embed": 64, "hidden_size": 1024}, {}, {"n_embed": "hidden_size"})
    internlm3 = Numbers({"qkv_bias": True}, {"attention_bias": False}, {"qkv_bias": "attention_bias"})

    assert bloom.hidden == 64
    assert internlm3.on("attention_bias")


def test_a_switch_is_on_off_or_as_by_default() -> None:
    assert numbers({"mlp_bias": True}).on("mlp_bias")
    assert not numbers({"mlp_bias": None}, mlp_bias=True).on("mlp_bias")
    assert numbers({}, mlp_bias=True).on("mlp_bias")


@pytest.mark.parametrize("value", ["true", 1, 0.0])
def test_a_switch_that_is_neither_on_nor_off_is_named(value: Any) -> None:
    with pytest.raises(NumberError, match=r"^has mlp_bias: .+, which is neither true nor false$"):
        numbers({"mlp_bias": value}).on("mlp_bias")


def test_heads_share_the_stream_unless_they_have_a_width_of_their_own() -> None:
    config = {"hidden_size": 64, "num_attention_heads": 4}

    assert (numbers(config).head, numbers(config | {"head_dim": 24}).head) == (16, 24)
    assert (numbers(config).queries, numbers(config | {"num_key_value_heads": 2}).keys) == (64, 32)
    with pytest.raises(NumberError, match="hidden_size: 64, which its 5 heads cannot share"):
        _ = numbers(config | {"num_attention_heads": 5}).head
