"""The shape of a base model, from its configuration alone: no weights, no torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import UsageError
from trainer.base_model.gguf_header import TENSORS, read_header
from trainer.errors import BaseModelError

Config = Mapping[str, Any]


class UnknownShapeError(UsageError):
    """The configuration is of an architecture whose layers are not known here, or lacks a number."""


@dataclass(frozen=True)
class Linear:
    """A linear layer that every block has.

    Attributes:
        name: Its name in the block, as ``lora_target_modules`` has it.
        inputs: Width of what goes in.
        outputs: Width of what comes out.
        copies: How many of this name are in a block: the experts of a mixture.
    """

    name: str
    inputs: int
    outputs: int
    copies: int = 1

    @property
    def parameters(self) -> int:
        """Weights of all copies."""
        return self.inputs * self.outputs * self.copies

    def lora_parameters(self, rank: int) -> int:
        """Return the weights that an adapter adds to all copies: rank × (inputs + outputs)."""
        return rank * (self.inputs + self.outputs) * self.copies


@dataclass(frozen=True)
class ModelShape:
    """What decides how much memory and work a base model takes.

    Attributes:
        model_type: The architecture, as transformers calls it.
        layers: Blocks.
        hidden_size: Width of the residual stream, ``H``.
        vocabulary_size: Rows of the embedding, ``V``.
        max_length: Longest sequence in tokens, or ``None`` where the configuration does not say.
        linears: The linear layers of a block.
        intermediate_size: Width between the two ends of a block's MLP, ``I``; of all experts that one token takes.
        key_value_size: Width of keys, ``K``.
        heads: Heads of attention: as many scores are there for each pair of tokens.
        is_tied: Whether the output head is the embedding.
        is_gated: Whether the MLP has a gate beside its way up.
        caps_scores: Whether attention's scores go through a tanh, which PyTorch's fused kernels cannot do.
    """

    model_type: str
    layers: int
    hidden_size: int
    vocabulary_size: int
    max_length: int | None
    linears: tuple[Linear, ...]
    intermediate_size: int
    key_value_size: int
    heads: int
    is_tied: bool
    is_gated: bool = True
    caps_scores: bool = False

    @property
    def linear_parameters(self) -> int:
        """Weights that are held in four bits: the linear layers of the blocks."""
        return self.layers * sum(linear.parameters for linear in self.linears)

    @property
    def other_parameters(self) -> int:
        """Weights that stay as they are: embedding, output head, norms."""
        head = 0 if self.is_tied else self.hidden_size * self.vocabulary_size
        norms = (2 * self.layers + 1) * self.hidden_size
        return self.hidden_size * self.vocabulary_size + head + norms

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.linear_parameters + self.other_parameters

    @property
    def query_size(self) -> int:
        """Width of queries: that of the stream, unless heads have a size of their own."""
        return next((linear.outputs for linear in self.linears if linear.name == "q_proj"), self.hidden_size)

    @property
    def target_modules(self) -> tuple[str, ...]:
        """Names that ``lora_target_modules`` may have."""
        return tuple(linear.name for linear in self.linears)

    def lora_parameters(self, rank: int, targets: str | list[str] = "all-linear") -> int:
        """Return how many weights an adapter has; names that are not there count nothing."""
        return self.layers * sum(linear.lora_parameters(rank) for linear in self.targeted(targets))

    def targeted(self, targets: str | list[str]) -> list[Linear]:
        """Return the layers of a block that get an adapter: those that peft takes for the names, else all of them.

        A regular expression counts as all: it may choose among blocks, and too much memory is on the safe side.
        """
        if isinstance(targets, str):
            return list(self.linears)
        return [linear for linear in self.linears if any(_matches(linear.name, name) for name in targets)]


def _matches(name: str, wanted: str) -> bool:
    """Return whether peft would take a layer for this name: the same, or the end of its path."""
    return name == wanted or name.endswith(f".{wanted}")


def read_shape(model: Path) -> ModelShape:
    """Return the shape of a model folder or of a GGUF file.

    Raises:
        UnknownShapeError: If the configuration lacks it, or the architecture is not known here.
    """
    if model.suffix == ".gguf":
        return shape_of(_gguf_config(model))
    path = model / "config.json"
    try:
        return shape_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as err:
        raise UnknownShapeError(
            f"plan: {path} cannot be read: {err}", resolution="use a model folder with a config.json"
        ) from err


def shape_of(config: Config) -> ModelShape:
    """Return the shape that a transformers configuration describes; of one that sees images, its text part.

    Raises:
        UnknownShapeError: If the architecture is not known here, or a number is missing.
    """
    config = config.get("text_config") or config
    kind = str(config.get("model_type") or "")
    family = FAMILIES.get(kind)
    if family is None:
        raise UnknownShapeError(
            f"plan: the layers of a model of type {kind or 'unknown'} are not known",
            resolution=f"known: {', '.join(sorted(FAMILIES))}",
        )
    try:
        return family(kind, config)
    except (KeyError, TypeError, ValueError) as err:
        raise UnknownShapeError(
            f"plan: the configuration of a {kind} model lacks {err}", resolution="use the model's own config.json"
        ) from err


def _llama(kind: str, config: Config) -> ModelShape:
    """Attention with grouped keys and a gated MLP: LLaMA and those built like it."""
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    queries, keys = _attention(config)
    linears = (
        *_attention_layers(hidden, queries, keys),
        Linear("gate_proj", hidden, inner),
        Linear("up_proj", hidden, inner),
        Linear("down_proj", inner, hidden),
    )
    return _shape(kind, config, linears, inner, keys)


def _phi3(kind: str, config: Config) -> ModelShape:
    """LLaMA's block with queries, keys and values in one layer, and gate and way up in another."""
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    queries, keys = _attention(config)
    linears = (
        Linear("qkv_proj", hidden, queries + 2 * keys),
        Linear("o_proj", queries, hidden),
        Linear("gate_up_proj", hidden, 2 * inner),
        Linear("down_proj", inner, hidden),
    )
    return _shape(kind, config, linears, inner, keys)


def _mixture(kind: str, config: Config) -> ModelShape:
    """LLaMA's attention and experts, of which each token takes a few."""
    hidden = int(config["hidden_size"])
    inner = int(config.get("moe_intermediate_size") or config["intermediate_size"])
    experts = int(config.get("num_local_experts") or config["num_experts"])
    taken = int(config["num_experts_per_tok"])
    queries, keys = _attention(config)
    names = ("w1", "w3", "w2") if kind == "mixtral" else ("gate_proj", "up_proj", "down_proj")
    linears = (
        *_attention_layers(hidden, queries, keys),
        Linear("gate", hidden, experts),
        Linear(names[0], hidden, inner, experts),
        Linear(names[1], hidden, inner, experts),
        Linear(names[2], inner, hidden, experts),
    )
    return _shape(kind, config, linears, inner * taken, keys)


def _gpt_neox(kind: str, config: Config) -> ModelShape:
    """Pythia and GPT-NeoX: one layer for queries, keys and values, an MLP without a gate."""
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    linears = (
        Linear("query_key_value", hidden, 3 * hidden),
        Linear("dense", hidden, hidden),
        Linear("dense_h_to_4h", hidden, inner),
        Linear("dense_4h_to_h", inner, hidden),
    )
    return _shape(kind, config, linears, inner, hidden, is_gated=False)


def _starcoder2(kind: str, config: Config) -> ModelShape:
    """LLaMA's attention, an MLP without a gate."""
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    queries, keys = _attention(config)
    linears = (
        *_attention_layers(hidden, queries, keys),
        Linear("c_fc", hidden, inner),
        Linear("c_proj", inner, hidden),
    )
    return _shape(kind, config, linears, inner, keys, is_gated=False)


def _qwen(kind: str, config: Config) -> ModelShape:
    """The first Qwen, whose ``intermediate_size`` counts gate and way up together."""
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"]) // 2
    linears = (
        Linear("c_attn", hidden, 3 * hidden),
        Linear("attn.c_proj", hidden, hidden),
        Linear("w1", hidden, inner),
        Linear("w2", hidden, inner),
        Linear("mlp.c_proj", inner, hidden),
    )
    return _shape(kind, config, linears, inner, hidden)


def _shape(
    kind: str, config: Config, linears: tuple[Linear, ...], inner: int, keys: int, *, is_gated: bool = True
) -> ModelShape:
    longest = config.get("max_position_embeddings")
    return ModelShape(
        model_type=kind,
        layers=int(config["num_hidden_layers"]),
        hidden_size=int(config["hidden_size"]),
        vocabulary_size=int(config["vocab_size"]),
        max_length=None if longest is None else int(longest),
        linears=linears,
        intermediate_size=inner,
        key_value_size=keys,
        heads=int(config["num_attention_heads"]),
        is_tied=bool(config.get("tie_word_embeddings", kind in TIED)),
        is_gated=is_gated,
        caps_scores=kind in CAPPED,
    )


def _attention_layers(hidden: int, queries: int, keys: int) -> tuple[Linear, ...]:
    """Return attention's layers where each has one of its own."""
    return (
        Linear("q_proj", hidden, queries),
        Linear("k_proj", hidden, keys),
        Linear("v_proj", hidden, keys),
        Linear("o_proj", queries, hidden),
    )


def _attention(config: Config) -> tuple[int, int]:
    """Return the widths of queries and of keys."""
    heads = int(config["num_attention_heads"])
    size = int(config.get("head_dim") or int(config["hidden_size"]) // heads)
    return heads * size, int(config.get("num_key_value_heads") or heads) * size


TIED = ("gemma", "gemma2", "gemma3_text", "starcoder2")
"""Architectures whose head is the embedding unless the configuration says otherwise."""
CAPPED = ("gemma2",)
"""Architectures that cap attention's scores: transformers gives them eager attention (``_supports_sdpa`` is false)."""
LLAMA_LIKE = (
    "arcee cohere cohere2 gemma gemma2 gemma3_text granite helium llama ministral mistral olmo olmo2 olmo3 qwen2 qwen3 "
    "seed_oss smollm3 stablelm"
)
FAMILIES: Mapping[str, Callable[[str, Config], ModelShape]] = {
    **dict.fromkeys(LLAMA_LIKE.split(), _llama),
    **dict.fromkeys(("mixtral", "qwen3_moe", "olmoe"), _mixture),
    "gpt_neox": _gpt_neox,
    "phi3": _phi3,
    "qwen": _qwen,
    "starcoder2": _starcoder2,
}
"""How each architecture's block is built; source: the ``modeling_*`` files of transformers 5.23, for ``qwen`` the
model's own file on the Hub."""
GGUF_NAMES = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
}
"""llama.cpp's names of what transformers calls otherwise; source: ``gguf.constants.Keys``."""


def _gguf_config(path: Path) -> Config:
    """Return a GGUF file's header in the words of a transformers configuration."""
    try:
        header = read_header(path)
    except BaseModelError as err:
        raise UnknownShapeError(f"plan: {err.message}", details=err.details, resolution=err.resolution) from err
    kind = header.get("general.architecture")
    found = {name: header.get(f"{kind}.{there}") for name, there in GGUF_NAMES.items()}
    tokens = header.get("tokenizer.ggml.tokens")
    return {
        "model_type": kind,
        "vocab_size": header.get(f"{kind}.vocab_size") or (None if tokens is None else len(tokens)),
        "tie_word_embeddings": "output.weight" not in header[TENSORS],
        **{name: value for name, value in found.items() if value is not None},
    }
