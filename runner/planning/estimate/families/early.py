"""Families of the time before LLaMA: biases, positions that are learned, MLPs without a gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runner.planning.estimate.families.layers import Build, Layers, Linear, joined, square, up_down
from runner.planning.estimate.families.numbers import Numbers


def _old(n: Numbers, block: tuple[Linear, ...], norms: int = 2, kept: int = 0, once: int = 0) -> Layers:
    """Return layers as GPT-2's: no gate, norms with a bias, queries and keys as wide as the stream."""
    return Layers(
        block,
        2 * norms * n.hidden + kept,
        2 * n.hidden + once,
        is_gated=False,
        queries=n.hidden,
        keys=n.hidden,
    )


def _positions(n: Numbers, offset: int = 0) -> int:
    """Return the weights of positions that are learned."""
    return (n["max_position_embeddings"] + offset) * n.hidden


def _fourfold(n: Numbers, key: str) -> int:
    """Return the width of an MLP that is four times the stream where it is left open."""
    return n.given(key) or 4 * n.hidden


def _gpt_neox(n: Numbers) -> Layers:
    bias = n.on("attention_bias")
    block = (
        *joined(n, "attention.query_key_value", "attention.dense", bias=bias),
        *up_down(n, ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"), bias=True),
    )
    return _old(n, block)


def _persimmon(n: Numbers) -> Layers:
    """GPT-NeoX with norms for the heads of queries and keys."""
    block = (
        *joined(n, "self_attn.query_key_value", "self_attn.dense", bias=True),
        *up_down(n, ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"), bias=True),
    )
    return _old(n, block, kept=4 * n.shared_head if n.on("qk_layernorm") else 0)


def _gpt2(n: Numbers) -> Layers:
    block = (
        *joined(n, "attn.c_attn", "attn.c_proj", bias=True),
        *up_down(n, ("mlp.c_fc", "mlp.c_proj"), bias=True, inner=_fourfold(n, "n_inner")),
    )
    return _old(n, block, once=_positions(n))


def _gpt_bigcode(n: Numbers) -> Layers:
    """GPT-2 whose heads may share one key."""
    keys = n.shared_head if n.on("multi_query") else n.hidden
    block = (
        Linear("attn.c_attn", n.hidden, n.hidden + 2 * keys, has_bias=True),
        *square(n, "attn.c_proj", bias=True),
        *up_down(n, ("mlp.c_fc", "mlp.c_proj"), bias=True, inner=_fourfold(n, "n_inner")),
    )
    return replace(_old(n, block, once=_positions(n)), keys=keys)


def _gpt_neo(n: Numbers) -> Layers:
    block = (
        *square(n, *(f"attn.attention.{name}" for name in ("q_proj", "k_proj", "v_proj"))),
        *square(n, "attn.attention.out_proj", bias=True),
        *up_down(n, ("mlp.c_fc", "mlp.c_proj"), bias=True, inner=_fourfold(n, "intermediate_size")),
    )
    return _old(n, block, once=_positions(n))


def _gptj(n: Numbers) -> Layers:
    names = (f"attn.{name}" for name in ("q_proj", "k_proj", "v_proj", "out_proj"))
    mlp = up_down(n, ("mlp.fc_in", "mlp.fc_out"), bias=True, inner=_fourfold(n, "n_inner"))
    return _old(n, (*square(n, *names), *mlp), norms=1, once=n.vocabulary)


def _codegen(n: Numbers) -> Layers:
    mlp = up_down(n, ("mlp.fc_in", "mlp.fc_out"), bias=True, inner=_fourfold(n, "n_inner"))
    return _old(n, (*joined(n, "attn.qkv_proj", "attn.out_proj"), *mlp), norms=1, once=n.vocabulary)


def _bloom(n: Numbers) -> Layers:
    block = (
        *joined(n, "self_attention.query_key_value", "self_attention.dense", bias=True),
        *up_down(n, ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"), bias=True, inner=4 * n.hidden),
    )
    return _old(n, block, once=2 * n.hidden)


def _mpt(n: Numbers) -> Layers:
    """Norms without a bias."""
    block = (
        *joined(n, "attn.Wqkv", "attn.out_proj"),
        *up_down(n, ("ffn.up_proj", "ffn.down_proj"), inner=4 * n.hidden),
    )
    return replace(_old(n, block), kept=2 * n.hidden, once=n.hidden)


def _ctrl(n: Numbers) -> Layers:
    names = (f"multi_head_attention.{name}" for name in ("Wq", "Wk", "Wv", "dense"))
    mlp = up_down(n, ("ffn.0", "ffn.2"), bias=True, inner=n["dff"])
    return _old(n, (*square(n, *names, bias=True), *mlp), once=n.vocabulary)


def _openai_gpt(n: Numbers) -> Layers:
    """GPT without a last norm."""
    block = (
        *joined(n, "attn.c_attn", "attn.c_proj", bias=True),
        *up_down(n, ("mlp.c_fc", "mlp.c_proj"), bias=True, inner=4 * n.hidden),
    )
    return replace(_old(n, block), once=_positions(n))


def _gpt_neox_japanese(n: Numbers) -> Layers:
    """GPT-NeoX without biases, but for one behind the last block's attention."""
    mlp = up_down(n, ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"), inner=n["intermediate_multiple_size"] * n.hidden)
    return _old(n, (*joined(n, "attention.query_key_value", "attention.dense"), *mlp), once=n.hidden)


def _fairseq(n: Numbers, inner: int, *, bias: bool = True) -> tuple[Linear, ...]:
    """Return a block as fairseq names it."""
    names = (f"self_attn.{name}" for name in ("k_proj", "v_proj", "q_proj", "out_proj"))
    return (*square(n, *names, bias=bias), *up_down(n, ("fc1", "fc2"), bias=bias, inner=inner))


def _opt(n: Numbers) -> Layers:
    """The embedding may be narrower than the stream; norms may learn nothing."""
    width = n["word_embed_proj_dim"]
    outer: tuple[Linear, ...] = ()
    if width != n.hidden:
        outer = (Linear("project_out", n.hidden, width), Linear("project_in", width, n.hidden))
    block, learns = _fairseq(n, n["ffn_dim"], bias=n.on("enable_bias")), n.on("layer_norm_elementwise_affine")
    last = learns and n.on("do_layer_norm_before") and not n.on("_remove_final_layer_norm")
    built, bare = _old(n, block), not learns and not n.on("enable_bias")
    once = _positions(n, offset=2) + (2 * n.hidden if last else 0)
    return replace(
        built, kept=built.kept if learns else 0, once=once, outer=outer, embedding=width, ends_in_linear=bare
    )


def _falcon(n: Numbers) -> Layers:
    """Linear layers of a class of its own; three ways to share keys, and one to three norms."""
    keys = n.hidden
    if n.on("new_decoder_architecture"):
        keys = n["num_kv_heads"] * n.shared_head
    elif n.on("multi_query"):
        keys = n.shared_head
    norms = 2
    if n.on("parallel_attn"):
        norms = n.given("num_ln_in_parallel_attn") or (2 if n.on("new_decoder_architecture") else 1)
    bias = n.on("bias")
    block = (
        Linear("self_attention.query_key_value", n.hidden, n.hidden + 2 * keys, bias),
        *square(n, "self_attention.dense", bias=bias),
        *up_down(n, ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"), bias=bias, inner=_fourfold(n, "ffn_hidden_size")),
    )
    plain = tuple(replace(linear, is_quantised=False) for linear in block)
    return replace(_old(n, plain, norms=norms), keys=keys)


EARLY: Mapping[str, Build] = {
    "biogpt": lambda n: _old(n, _fairseq(n, n.inner), once=_positions(n, offset=2)),
    "bloom": _bloom,
    "codegen": _codegen,
    "ctrl": _ctrl,
    "falcon": _falcon,
    "gpt2": _gpt2,
    "gpt_bigcode": _gpt_bigcode,
    "gpt_neo": _gpt_neo,
    "gpt_neox": _gpt_neox,
    "gpt_neox_japanese": _gpt_neox_japanese,
    "gptj": _gptj,
    "mpt": _mpt,
    "openai-gpt": _openai_gpt,
    "opt": _opt,
    "persimmon": _persimmon,
    "xglm": lambda n: _old(n, _fairseq(n, n["ffn_dim"])),
}
"""By ``model_type``."""
