"""What the memory model says of a block, beside what PyTorch keeps of one for the backward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from runner.planning.estimate.memory import Holding, block_bytes
from runner.planning.estimate.model_shape import COMPOSED, shape_of

TOKENS, RANK = 384, 16
CONFIG = {
    "vocab_size": 500,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
SHAPE = shape_of(CONFIG | {"model_type": "llama"})
FULL = Holding(activation=4, saved_input=8, attention="sdpa")
HALF = Holding(saved_input=2, attention="sdpa")


def make_model(attention: str, dtype: torch.dtype, dropout: float, kind: str = "llama", **own: Any) -> Any:
    torch.manual_seed(0)
    config_of_kind = AutoConfig.for_model(kind, **CONFIG, **own, attn_implementation=attention)
    model = AutoModelForCausalLM.from_config(config_of_kind).to(dtype)
    config = LoraConfig(r=RANK, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model.train()


def kept_bytes(model: Any, *, packed: bool) -> int:
    """Return what the second block alone keeps: what the first made is not its own, nor are weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}
    second = model.get_base_model().model.layers[1]
    inside: list[bool] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if inside and place not in weights and tensor.numel() >= TOKENS and TOKENS in tensor.shape:
            kept[place] = tensor
        return tensor

    second.register_forward_pre_hook(lambda *_: inside.append(True))
    second.register_forward_hook(lambda *_: inside.clear())
    positions = torch.arange(TOKENS // 2).repeat(2) if packed else torch.arange(TOKENS)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=model.dtype == torch.bfloat16)
    with autocast, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        ids = torch.arange(TOKENS)[None] % 500
        model(input_ids=ids, position_ids=positions[None], attention_mask=None, use_cache=False)
    shared = {(TOKENS, 32), (1, 1, TOKENS, 32)}  # rotations: made once for all blocks
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values() if tuple(tensor.shape) not in shared)


@pytest.mark.parametrize(
    ("attention", "dtype", "dropout", "packed", "holding"),
    [
        ("sdpa", torch.float32, 0.05, False, FULL),
        ("sdpa", torch.float32, 0.05, True, Holding(activation=4, saved_input=8, attention="sdpa", has_mask=True)),
        ("eager", torch.float32, 0.05, True, Holding(activation=4, saved_input=8, attention="eager")),
        ("sdpa", torch.bfloat16, 0.0, False, HALF),
        ("sdpa", torch.bfloat16, 0.0, True, Holding(saved_input=2, attention="sdpa", has_mask=True)),
        ("eager", torch.bfloat16, 0.0, True, Holding(saved_input=2, attention="eager")),
    ],
)
def test_a_block_keeps_what_the_model_says(
    attention: str, dtype: torch.dtype, dropout: float, packed: bool, holding: Holding
) -> None:
    kept = kept_bytes(make_model(attention, dtype, dropout), packed=packed)

    said = TOKENS * block_bytes(SHAPE, holding, "all-linear", rank=RANK, row_tokens=TOKENS)

    assert said == pytest.approx(kept, rel=0.01)


def test_what_an_activation_of_several_kernels_keeps_is_counted() -> None:
    """Beside ``gelu``, which is one kernel; Phi has ``gelu_new`` where its configuration names none."""

    def look(own: dict[str, str]) -> tuple[int, float]:
        kept = kept_bytes(make_model("sdpa", torch.float32, 0.05, "phi", **own), packed=False)
        shape = shape_of(CONFIG | own | {"model_type": "phi"})
        return kept, TOKENS * block_bytes(shape, FULL, "all-linear", rank=RANK, row_tokens=TOKENS)

    kept, said = look({"hidden_act": "gelu"})
    assert said == pytest.approx(kept, rel=0.05)
    for own in ({}, *({"hidden_act": name} for name in COMPOSED)):
        more_kept, more_said = look(own)
        assert more_said - said == more_kept - kept > 0, own


@pytest.mark.parametrize("kind", ["gemma3_text", "glm4", "olmo2", "qwen3"])
def test_the_norms_that_a_family_has_besides_are_kept_too(kind: str) -> None:
    """Four norms of the stream, norms of all heads or of each: of Gemma 3 they are a tenth of what a block keeps."""
    own = {"head_dim": 32, "pad_token_id": 0}
    kept = kept_bytes(make_model("sdpa", torch.float32, 0.05, kind, **own), packed=False)
    shape = shape_of(CONFIG | own | {"model_type": kind})

    said = TOKENS * block_bytes(shape, FULL, "all-linear", rank=RANK, row_tokens=TOKENS)

    assert said == pytest.approx(kept, rel=0.015)
    assert shape.norm_size > 2 * shape.hidden_size
