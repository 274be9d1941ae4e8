"""Shapes of base models from their configuration, against the sizes that their makers state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runner.planning.estimate.families.kinds import UnknownShapeError, UntrainableModelError
from runner.planning.estimate.model_shape import read_shape, shape_of

LLAMA_8B = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}
PYTHIA = {
    "model_type": "gpt_neox",
    "vocab_size": 50304,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
}
PHI3 = LLAMA_8B | {
    "model_type": "phi3",
    "vocab_size": 32064,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_key_value_heads": 32,
}
STARCODER2 = {
    "model_type": "starcoder2",
    "vocab_size": 49152,
    "hidden_size": 3072,
    "intermediate_size": 12288,
    "num_hidden_layers": 30,
    "num_attention_heads": 24,
    "num_key_value_heads": 2,
}
GEMMA2 = {
    "model_type": "gemma2",
    "vocab_size": 256000,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
}
QWEN_7B = {
    "model_type": "qwen",
    "vocab_size": 151936,
    "hidden_size": 4096,
    "intermediate_size": 22016,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "tie_word_embeddings": False,
}


@pytest.mark.parametrize(
    ("config", "billions"),
    [
        (LLAMA_8B, 8.03),
        (PHI3, 3.82),
        (STARCODER2, 3.03),
        (GEMMA2, 2.61),
        (QWEN_7B, 7.72),
        (PYTHIA | {"tie_word_embeddings": False}, 0.0704),
    ],
)
def test_a_shape_has_as_many_weights_as_its_maker_says(config: dict[str, Any], billions: float) -> None:
    assert shape_of(config).parameters / 1e9 == pytest.approx(billions, rel=0.005)


def test_the_weights_of_llama_8b_are_counted_exactly() -> None:
    shape = shape_of(LLAMA_8B)

    assert (shape.parameters, shape.linear_parameters, shape.max_length) == (8_030_261_248, 6_979_321_856, 131072)
    assert shape.lora_parameters(16) == 41_943_040  # peft's own count for r=16 on all linear layers


def test_an_adapter_on_some_layers_counts_those_alone() -> None:
    shape = shape_of(LLAMA_8B)

    assert shape.lora_parameters(8, ["q_proj", "v_proj"]) == 32 * 8 * (4096 + 4096 + 4096 + 1024)
    assert shape.lora_parameters(8, ["att_proj"]) == 0
    assert shape_of(QWEN_7B).lora_parameters(8, ["c_proj"]) == 32 * 8 * (4096 + 4096 + 11008 + 4096)


def test_heads_of_attention_are_known_and_whether_their_scores_are_capped() -> None:
    llama, gemma = shape_of(LLAMA_8B), shape_of(GEMMA2)

    assert (llama.heads, llama.query_size, llama.caps_scores, llama.is_eager) == (32, 4096, False, False)
    assert (gemma.heads, gemma.query_size, gemma.caps_scores, gemma.is_eager) == (8, 2048, True, True)
    assert shape_of(PYTHIA).query_size == 512


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "mamba"}, "the layers of a model of type mamba are not known"),
        ({"model_type": "llama", "hidden_size": 8}, "the configuration of a llama model lacks"),
        (LLAMA_8B | {"hidden_size": None}, "the configuration of a llama model lacks hidden_size"),
        (LLAMA_8B | {"hidden_size": "4096"}, 'the configuration of a llama model has hidden_size: "4096", which is no'),
        (LLAMA_8B | {"mlp_bias": "no"}, 'the configuration of a llama model has mlp_bias: "no", which is neither'),
    ],
)
def test_a_configuration_that_does_not_say_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(UnknownShapeError) as caught:
        shape_of(config)

    assert words in caught.value.message
    assert caught.value.resolution


def test_a_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B))

    assert read_shape(tmp_path) == shape_of(LLAMA_8B)


@pytest.mark.parametrize("text", [None, "{", "[1]", "null", pytest.param("[" * 100_000, id="deep")])
def test_a_folder_without_a_configuration_is_refused(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)

    with pytest.raises(UnknownShapeError, match=r"config\.json cannot be read"):
        read_shape(tmp_path)


@pytest.mark.parametrize(("key", "value"), [("num_hidden_layers", 2**31 - 1), ("vocab_size", 2**31 - 1)])
def test_a_huge_number_is_counted_in_no_time(key: str, value: int) -> None:
    assert shape_of(LLAMA_8B | {key: value}).parameters > 10**12


def test_a_broken_gguf_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF\x03\0\0\0")

    with pytest.raises(UnknownShapeError, match=r"model\.gguf is not a whole GGUF file"):
        read_shape(tmp_path / "model.gguf")


def write_gguf(path: Path, architecture: str, **numbers: int) -> Path:
    """Write the header of a GGUF file: SmolLM2-135M's, with ``numbers`` of its architecture replaced or added."""
    from gguf import GGUFWriter

    whole = {
        "block_count": 30,
        "embedding_length": 576,
        "feed_forward_length": 1536,
        "attention.head_count": 9,
        "attention.head_count_kv": 3,
        "context_length": 8192,
        "vocab_size": 49152,
    }
    writer = GGUFWriter(path, architecture)
    for name, number in (whole | numbers).items():
        writer.add_uint32(f"{architecture}.{name}", number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_says_the_same_as_the_configuration(tmp_path: Path) -> None:
    shape = read_shape(write_gguf(tmp_path / "model.gguf", "llama"))

    assert (shape.parameters, shape.is_tied, shape.max_length) == (134_515_008, True, 8192)


def test_a_gguf_file_of_a_mixture_is_refused_though_its_architecture_is_llama(tmp_path: Path) -> None:
    dense = write_gguf(tmp_path / "dense.gguf", "llama", expert_count=0)

    assert read_shape(dense).parameters == 134_515_008
    with pytest.raises(UntrainableModelError, match=r"mixture of experts \(num_experts: 8\)"):
        read_shape(write_gguf(tmp_path / "mixture.gguf", "llama", expert_count=8))


def test_an_architecture_that_llama_cpp_calls_otherwise_is_known(tmp_path: Path) -> None:
    shape = read_shape(write_gguf(tmp_path / "model.gguf", "gemma3", **{"attention.key_length": 64}))

    assert (shape.model_type, shape.query_size) == ("gemma3_text", 576)
    with pytest.raises(UntrainableModelError, match="no causal language model of type whatever"):
        read_shape(write_gguf(tmp_path / "other.gguf", "whatever"))
