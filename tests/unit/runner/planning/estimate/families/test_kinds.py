"""Which kinds of model are trained, and the words for those that are not."""

from __future__ import annotations

from typing import Any

import pytest

from runner.planning.estimate.families.kinds import UntrainableModelError, needs_own_code, refuse_foreign, text_part

OWN_CODE = {"AutoConfig": "c.Config", "AutoModelForCausalLM": "m.Model"}


def refused(config: dict[str, Any]) -> str:
    with pytest.raises(UntrainableModelError) as caught:
        refuse_foreign(*text_part(config))
    assert caught.value.resolution
    return caught.value.message


@pytest.mark.parametrize("value", [None, "", 7, ["llama"]])
def test_a_configuration_without_a_type_is_refused(value: Any) -> None:
    assert "config.json has model_type: " in refused({"model_type": value})


def test_of_a_model_that_sees_images_the_text_part_is_trained() -> None:
    part = {"hidden_size": 64}

    assert text_part({"model_type": "qwen3_5", "text_config": part}) == ("qwen3_5_text", part)
    assert "qwen3_5 model has no text_config" in refused({"model_type": "qwen3_5"})


@pytest.mark.parametrize("kind", ["mistral3", "qwen2_5_vl", "t5", "llava", "made-up"])
def test_a_type_that_transformers_trains_as_no_language_model_is_refused_by_name(kind: str) -> None:
    assert refused({"model_type": kind, "text_config": {"model_type": "llama"}}).endswith(
        f"has no causal language model of type {kind}"
    )


def test_an_encoder_with_a_decoder_is_refused() -> None:
    assert "a bart model is an encoder and a decoder" in refused({"model_type": "bart", "is_encoder_decoder": True})


def test_a_type_that_brings_its_own_code_is_not_foreign() -> None:
    config = {"model_type": "made-up", "auto_map": OWN_CODE}

    refuse_foreign(*text_part(config))
    assert needs_own_code(config)
    assert not needs_own_code({"model_type": "phi3", "auto_map": OWN_CODE})
    assert "of type made-up" in refused({"model_type": "made-up", "auto_map": {"AutoConfig": "c.Config"}})


@pytest.mark.parametrize(
    "config",
    [
        {"num_experts": 8},
        {"n_routed_experts": 8},
        {"moe_num_experts": 8},
        {"ffn_config": {"moe_num_experts": 16}},
        {"num_experts": [8, 8]},
        {"num_experts": "8"},
        {"enable_moe_block": True, "num_experts": 8},
    ],
)
def test_experts_are_seen_by_what_the_configuration_counts(config: dict[str, Any]) -> None:
    assert "is a mixture of experts (" in refused({"model_type": "made-up", "auto_map": OWN_CODE, **config})


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe", "gpt_oss", "llama4_text"])
def test_a_type_whose_experts_are_not_counted_has_as_many_as_by_default(kind: str) -> None:
    assert f"this {kind} model is a mixture of experts (by its type)" in refused({"model_type": kind})


def test_a_family_of_mixtures_may_leave_its_experts_out() -> None:
    assert text_part({"model_type": "jamba", "num_experts": 1})[0] == "jamba"


@pytest.mark.parametrize(
    "config",
    [
        {"num_local_experts": 0},
        {"num_experts": 1},
        {"num_experts": None},
        {"n_shared_experts": 2},
        {"num_experts_per_tok": 2},
        {"is_moe": False, "num_experts": 16384},
        {"vision_config": {"num_experts": 8}},
    ],
)
def test_no_expert_but_one_makes_no_mixture(config: dict[str, Any]) -> None:
    assert text_part({"model_type": "llama", **config})[0] == "llama"
