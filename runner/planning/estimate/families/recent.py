"""LLaMA and the families built like it: grouped keys, a gated MLP, norms without a bias; and what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runner.planning.estimate.families.layers import (
    Build,
    Layers,
    Linear,
    attention,
    gated,
    latent_attention,
    square,
    up_down,
)
from runner.planning.estimate.families.numbers import Numbers


def _llama(
    n: Numbers, *, bias: bool | None = None, out_bias: bool | None = None, norms: int = 2, kept: int = 0
) -> Layers:
    """LLaMA and those built like it: grouped keys, a gated MLP, norms without a bias.

    Args:
        n: The configuration.
        bias: Whether queries, keys and values have a bias; ``attention_bias`` says by default.
        out_bias: The same of the layer that leads out of attention; as they have by default.
        norms: Norms of a block, as wide as the stream.
        kept: Other weights of a block that are in no linear layer.
    """
    chosen = n.on("attention_bias") if bias is None else bias
    block = (*attention(n, bias=chosen, out_bias=out_bias), *gated(n, bias=n.on("mlp_bias")))
    return Layers(block, norms * n.hidden + kept, n.hidden, normed=max(2, norms) * n.hidden)


def _head_normed(n: Numbers, layers: Layers, *, each: bool = False) -> Layers:
    """Return layers with norms for the heads of queries and for those of keys: one for all heads, or one for each."""
    weights = n.queries + n.keys if each else 2 * n.head
    normed = (layers.normed or 2 * n.hidden) + n.queries + n.keys
    return replace(layers, kept=layers.kept + weights, normed=normed)


def _arcee(n: Numbers) -> Layers:
    """LLaMA with an MLP without a gate."""
    block = (*attention(n, bias=n.on("attention_bias")), *up_down(n, bias=n.on("mlp_bias")))
    return Layers(block, 2 * n.hidden, n.hidden, is_gated=False)


def _apertus(n: Numbers) -> Layers:
    """LLaMA with norms in attention and an MLP without a gate, whose activation learns two numbers."""
    learned = 2 if n.config.get("hidden_act", "xielu") == "xielu" else 0
    block = (*attention(n, bias=n.on("attention_bias")), *up_down(n))
    return _head_normed(n, Layers(block, 2 * n.hidden + learned, n.hidden, is_gated=False))


def _cohere(n: Numbers) -> Layers:
    """Attention and MLP beside each other, behind one norm."""
    layers = _llama(n, norms=1)
    return _head_normed(n, layers, each=True) if n.on("use_qk_norm") else layers


def _ernie(n: Numbers) -> Layers:
    """LLaMA with one switch for all biases."""
    bias = n.on("use_bias")
    return Layers((*attention(n, bias=bias), *gated(n, bias=bias)), 2 * n.hidden, n.hidden)


def _doge(n: Numbers) -> Layers:
    """LLaMA with a mask that is learned."""
    bias = n.on("attention_bias")
    q_proj, k_proj, v_proj, o_proj = attention(n, bias=bias)
    mask = Linear("self_attn.dt_proj", n.keys, n.key_heads, bias)
    block = (q_proj, k_proj, v_proj, mask, o_proj, *gated(n, bias=n.on("mlp_bias")))
    return _head_normed(n, Layers(block, 4 * n.hidden + n.key_heads, n.hidden))


def _glm(n: Numbers, norms: int = 2) -> Layers:
    """LLaMA with gate and way up in one layer."""
    block = (
        *attention(n, bias=n.on("attention_bias"), out_bias=False),
        Linear("mlp.gate_up_proj", n.hidden, 2 * n.inner),
        Linear("mlp.down_proj", n.inner, n.hidden),
    )
    return Layers(block, norms * n.hidden, n.hidden, normed=norms * n.hidden)


def _phi3(n: Numbers) -> Layers:
    """LLaMA with queries, keys and values in one layer, and gate and way up in another."""
    block = (
        Linear("self_attn.o_proj", n.queries, n.hidden),
        Linear("self_attn.qkv_proj", n.hidden, n.queries + 2 * n.keys),
        Linear("mlp.gate_up_proj", n.hidden, 2 * n.inner),
        Linear("mlp.down_proj", n.inner, n.hidden),
    )
    return Layers(block, 2 * n.hidden, n.hidden)


def _latent(n: Numbers) -> Layers:
    """LLaMA with attention through a narrow space."""
    rank, width = n.given("q_lora_rank"), n.heads * (n["qk_nope_head_dim"] + n["qk_rope_head_dim"])
    block = (*latent_attention(n), *gated(n, bias=n.on("mlp_bias")))
    kept = 2 * n.hidden + (rank or 0) + n["kv_lora_rank"]
    return Layers(block, kept, n.hidden, queries=width, keys=width)


def _with_norm_biases(n: Numbers, block: tuple[Linear, ...], norms: int = 2, kept: int = 0, once: int = 0) -> Layers:
    """Return layers without a gate whose norms, and the last one, have a bias."""
    return Layers(block, 2 * norms * n.hidden + kept, 2 * n.hidden + once, is_gated=False)


def _jais2(n: Numbers) -> Layers:
    block = (*attention(n, bias=n.on("attention_bias")), *up_down(n, bias=n.on("mlp_bias")))
    return _with_norm_biases(n, block)


def _starcoder2(n: Numbers) -> Layers:
    bias = n.on("use_bias")
    return _with_norm_biases(n, (*attention(n, bias=bias), *up_down(n, ("mlp.c_fc", "mlp.c_proj"), bias=bias)))


def _phi(n: Numbers) -> Layers:
    """Attention and MLP beside each other, behind one norm; the head has a bias."""
    normed = 4 * n.shared_head if n.on("qk_layernorm") else 0
    block = (*attention(n, bias=True, out="dense"), *up_down(n, ("mlp.fc1", "mlp.fc2"), bias=True))
    return _with_norm_biases(n, block, norms=1, kept=normed, once=n.vocabulary)


def _stablelm(n: Numbers) -> Layers:
    """LLaMA whose norms have a bias, except those of single heads."""
    normed = (n.heads + n.key_heads) * n.shared_head if n.on("qk_layernorm") else 0
    norms = 1 if n.on("use_parallel_residual") else 2
    block = (*attention(n, bias=n.on("use_qkv_bias"), out_bias=False), *gated(n))
    return Layers(block, 2 * norms * n.hidden + normed, 2 * n.hidden)


def _nanochat(n: Numbers) -> Layers:
    """LLaMA whose norms learn nothing, with an MLP without a gate."""
    block = (*attention(n, bias=n.on("attention_bias")), *up_down(n, ("mlp.fc1", "mlp.fc2")))
    return Layers(block, is_gated=False, ends_in_linear=True)


def _qwen(n: Numbers) -> Layers:
    """The first Qwen, from the model's own file on the Hub: ``intermediate_size`` counts gate and way up together."""
    inner = n.inner // 2
    block = (
        Linear("attn.c_attn", n.hidden, 3 * n.hidden, has_bias=True),
        *square(n, "attn.c_proj"),
        Linear("mlp.w1", n.hidden, inner),
        Linear("mlp.w2", n.hidden, inner),
        Linear("mlp.c_proj", inner, n.hidden),
    )
    return Layers(block, 2 * n.hidden, n.hidden, queries=n.hidden, keys=n.hidden)


def _modernbert(n: Numbers) -> Layers:
    """The first block has one norm less; a layer and a norm stand before the head."""
    bias, norm = n.on("attention_bias"), n.hidden * (2 if n.on("norm_bias") else 1)
    block = (
        *square(n, "attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.Wo", bias=bias),
        Linear("mlp.Wi", n.hidden, 2 * n.inner, n.on("mlp_bias")),
        Linear("mlp.Wo", n.inner, n.hidden, n.on("mlp_bias")),
    )
    outer = Linear("dense", n.hidden, n.hidden, n.on("classifier_bias"))
    once = 2 * norm + (n.vocabulary if n.on("decoder_bias") else 0)
    return Layers(block, 2 * norm, once, (outer,), queries=n.hidden, keys=n.hidden)


RECENT: Mapping[str, Build] = {
    "apertus": _apertus,
    "arcee": _arcee,
    "bitnet": lambda n: _llama(n, kept=n.hidden + n.inner),
    "cohere": _cohere,
    "cohere2": lambda n: _llama(n, norms=1),
    "cohere_compass_text": lambda n: _llama(n, norms=1),
    "cwm": lambda n: _llama(n, bias=False),
    "diffllama": lambda n: _llama(n, kept=4 * n.head),
    "doge": _doge,
    "ernie4_5": _ernie,
    "exaone4": lambda n: _head_normed(n, _llama(n, bias=False)),
    "gemma": _llama,
    "gemma2": lambda n: _llama(n, norms=4),
    "gemma3_text": lambda n: _head_normed(n, _llama(n, norms=4)),
    "glm": _glm,
    "glm4": lambda n: _glm(n, norms=4),
    "granite": _llama,
    "granite_swa": lambda n: _llama(n, kept=n.heads),
    "helium": lambda n: _llama(n, out_bias=False),
    "hunyuan_v1_dense": lambda n: _head_normed(n, _llama(n)),
    "hyperclovax": lambda n: _llama(n, norms=4 if n.on("use_post_norm") else 2),
    "internlm3": _llama,
    "iquestcoder": _llama,
    "jais2": _jais2,
    "llama": _llama,
    "minicpm3": _latent,
    "ministral": lambda n: _llama(n, bias=False),
    "ministral3": lambda n: _llama(n, bias=False),
    "mistral": lambda n: _llama(n, bias=False),
    "modernbert-decoder": _modernbert,
    "nanochat": _nanochat,
    "nemotron": _jais2,
    "olmo": lambda n: replace(_llama(n, norms=0), once=0, ends_in_linear=True),
    "olmo2": lambda n: _head_normed(n, _llama(n), each=True),
    "olmo3": lambda n: _head_normed(n, _llama(n), each=True),
    "phi": _phi,
    "phi3": _phi3,
    "qwen": _qwen,
    "qwen2": lambda n: _llama(n, bias=True, out_bias=False),
    "qwen3": lambda n: _head_normed(n, _llama(n)),
    "seed_oss": lambda n: _llama(n, out_bias=n.on("attention_out_bias")),
    "smollm3": _llama,
    "stablelm": _stablelm,
    "starcoder2": _starcoder2,
    "vaultgemma": _llama,
    "youtu": _latent,
}
"""By ``model_type``."""
