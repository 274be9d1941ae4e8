"""Families whose causal model has a part that sees: it is loaded, quantised and adapted with the text part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runner.planning.estimate.families.kinds import kinds
from runner.planning.estimate.families.layers import Build, Layers, Linear
from runner.planning.estimate.families.numbers import NumberError, Numbers
from runner.planning.estimate.families.recent import RECENT

SIGLIP = "siglip_vision_model"


def _gemma3(n: Numbers) -> Layers:
    """Gemma 3 from 4B on: the text part, SigLIP, and a matrix that leads from one to the other."""
    said = n.whole.get("vision_config") or {}
    if not isinstance(said, Mapping):
        raise NumberError("has a vision_config that is no mapping")
    v = Numbers(said, kinds().fields[SIGLIP]["defaults"], {}, is_nested=True)
    text, linears = RECENT["gemma3_text"](n), [linear for _ in range(v.layers) for linear in _seeing_block(v)]
    places = (v["image_size"] // v["patch_size"]) ** 2
    once = v.hidden * (v["num_channels"] * v["patch_size"] ** 2 + 1 + places)  # patches and places of an image
    once += 4 * v.hidden * v.layers + 2 * v.hidden  # norms of blocks, and the last one
    if v.on("vision_use_head"):
        linears += _pooling_head(v)
        once += v.hidden + 3 * v.hidden * (v.hidden + 1) + 2 * v.hidden  # what it asks for, what with, and a norm
    once += v.hidden * n.hidden + v.hidden  # the way to the text part, and its norm
    is_tied = replace(n, config=n.whole).on("tie_word_embeddings")
    return replace(text, once=text.once + once, outer=tuple(linears), is_tied=is_tied)


def _seeing_block(v: Numbers) -> tuple[Linear, ...]:
    names = (f"self_attn.{name}" for name in ("k_proj", "v_proj", "q_proj", "out_proj"))
    return (
        *(Linear(name, v.hidden, v.hidden, has_bias=True) for name in names),
        Linear("mlp.fc1", v.hidden, v.inner, has_bias=True),
        Linear("mlp.fc2", v.inner, v.hidden, has_bias=True),
    )


def _pooling_head(v: Numbers) -> tuple[Linear, ...]:
    """Return the layers behind the last block; the first is of a class of PyTorch's own."""
    return (
        Linear("out_proj", v.hidden, v.hidden, has_bias=True, is_quantised=False),
        Linear("fc1", v.hidden, v.inner, has_bias=True),
        Linear("fc2", v.inner, v.hidden, has_bias=True),
    )


SIGHTED: Mapping[str, Build] = {"gemma3": _gemma3}
"""By ``model_type``."""
