"""The shape of a base model, from its configuration alone: no weights, no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.planning.estimate.families.kinds import (
    UnknownShapeError,
    UntrainableModelError,
    kinds,
    refuse_foreign,
    text_part,
)
from runner.planning.estimate.families.layers import Layers, Linear
from runner.planning.estimate.families.numbers import NumberError, Numbers
from runner.planning.estimate.families.table import FAMILIES
from trainer.base_model.gguf_header import TENSORS, read_header
from trainer.errors import BaseModelError

Config = Mapping[str, Any]


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
        outer: Linear layers outside of the blocks, beside the output head.
        intermediate_size: Width between the two ends of a block's MLP, ``I``.
        query_size: Width of queries: that of the stream, unless heads have a size of their own.
        key_value_size: Width of keys, ``K``.
        norm_size: Numbers of a token that go through the norms of a block.
        heads: Heads of attention: as many scores are there for each pair of tokens.
        is_tied: Whether the output head is the embedding.
        linear_parameters: Weights that bitsandbytes holds in four bits.
        other_parameters: Weights that stay as they are: embedding, output head, norms, biases.
        is_gated: Whether the MLP has a gate beside its way up.
        is_eager: Whether transformers gives it eager attention, for lack of any other (``_supports_sdpa`` is false).
        caps_scores: Whether attention's scores go through a tanh.
        activation_kept: How many tensors of the MLP's inner width its activation keeps beside its input.
    """

    model_type: str
    layers: int
    hidden_size: int
    vocabulary_size: int
    max_length: int | None
    linears: tuple[Linear, ...]
    outer: tuple[Linear, ...]
    intermediate_size: int
    query_size: int
    key_value_size: int
    norm_size: int
    heads: int
    is_tied: bool
    linear_parameters: int
    other_parameters: int
    is_gated: bool = True
    is_eager: bool = False
    caps_scores: bool = False
    activation_kept: int = 0

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.linear_parameters + self.other_parameters

    @property
    def target_modules(self) -> tuple[str, ...]:
        """Names that ``lora_target_modules`` may have: the ends of the layers' paths."""
        return tuple(dict.fromkeys(linear.last_name for linear in (*self.linears, *self.outer)))

    def lora_parameters(self, rank: int, targets: str | list[str] = "all-linear") -> int:
        """Return how many weights an adapter has; names that are not there count nothing."""
        outer = sum(linear.lora_parameters(rank) for linear in _chosen(self.outer, targets))
        return self.layers * sum(linear.lora_parameters(rank) for linear in self.targeted(targets)) + outer

    def targeted(self, targets: str | list[str]) -> list[Linear]:
        """Return the layers of a block that get an adapter: all of them, or those that peft takes for the names."""
        return _chosen(self.linears, targets)


def _chosen(linears: tuple[Linear, ...], targets: str | list[str]) -> list[Linear]:
    """Return the layers that peft takes for a list of names, or all of them.

    A regular expression counts as all: it may choose among blocks, and too much memory is on the safe side.
    """
    if isinstance(targets, str):
        return list(linears)
    return [linear for linear in linears if any(_matches(linear.name, name) for name in targets)]


def _matches(name: str, wanted: str) -> bool:
    """Return whether peft would take a layer for this name: the same, or the end of its path."""
    return name == wanted or name.endswith(f".{wanted}")


def read_shape(model: Path) -> ModelShape:
    """Return the shape of a model folder or of a GGUF file.

    Raises:
        UnknownShapeError: If the architecture is not known here, or there is no configuration.
        UntrainableModelError: If a model of this kind cannot be trained, on whichever machine.
    """
    return shape_of(read_config(model))


def read_config(model: Path) -> Config:
    """Return the configuration of a model folder, or what a GGUF file says of it in the same words.

    Raises:
        UnknownShapeError: If there is none.
    """
    if model.suffix == ".gguf":
        return _gguf_config(model)
    path = model / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as err:
        raise _unreadable(path, err) from err
    if not isinstance(found, dict):
        raise _unreadable(path, f"it holds a {type(found).__name__} where a mapping belongs")
    return found


def _unreadable(path: Path, why: object) -> UnknownShapeError:
    return UnknownShapeError(f"plan: {path} cannot be read: {why}", resolution="use a model folder with a config.json")


def shape_of(config: Config) -> ModelShape:
    """Return the shape that a transformers configuration describes; of one that sees images, its text part.

    Raises:
        UnknownShapeError: If the architecture is not known here.
        UntrainableModelError: If a model of this kind cannot be trained, on whichever machine, or a number is missing
            or is none.
    """
    kind, part = text_part(config)
    build = FAMILIES.get(kind)
    if build is None:
        refuse_foreign(kind, config)
        raise UnknownShapeError(
            f"plan: the layers of a model of type {kind} are not known",
            resolution="take a base model of a known type: docs/memory-model.md lists them",
        )
    fields = kinds().fields.get(kind, {})
    own, names = fields.get("defaults", {}), fields.get("names", {})
    numbers = Numbers(part, own, names, is_nested=part is not config, whole=config)
    try:
        return _shape(kind, numbers, build(numbers))
    except NumberError as err:
        raise UntrainableModelError(
            f"plan: the configuration of a {kind} model {err}", resolution="use the model's own config.json"
        ) from err


def _shape(kind: str, n: Numbers, layers: Layers) -> ModelShape:
    """Return the shape of a model that is built so."""
    width = layers.embedding or n.hidden
    is_tied = n.on("tie_word_embeddings") if layers.is_tied is None else layers.is_tied
    quantised = n.layers * _quantised(layers.block) + _quantised(layers.outer)
    if is_tied and layers.ends_in_linear:
        quantised -= layers.block[-1].parameters
    embeddings = n.vocabulary * width * (1 if is_tied else 2)
    in_linears = n.layers * _weights(layers.block) + _weights(layers.outer)
    return ModelShape(
        model_type=kind,
        layers=n.layers,
        hidden_size=n.hidden,
        vocabulary_size=n.vocabulary,
        max_length=n.given("max_position_embeddings"),
        linears=layers.block,
        outer=layers.outer,
        intermediate_size=layers.block[-1].inputs,
        query_size=layers.queries or n.queries,
        key_value_size=layers.keys or n.keys,
        norm_size=layers.normed or 2 * n.hidden,
        heads=n.heads,
        is_tied=is_tied,
        linear_parameters=quantised,
        other_parameters=embeddings + in_linears - quantised + n.layers * layers.kept + layers.once,
        is_gated=layers.is_gated,
        is_eager=kind in kinds().eager,
        caps_scores=kind in CAPPED,
        activation_kept=COMPOSED.get(n.text(*ACTIVATIONS) or COMPOSED_BY_DEFAULT.get(kind, ""), 0),
    )


def _quantised(linears: tuple[Linear, ...]) -> int:
    return sum(linear.parameters for linear in linears if linear.is_quantised)


def _weights(linears: tuple[Linear, ...]) -> int:
    return sum(linear.parameters + linear.bias_parameters for linear in linears)


ACTIVATIONS = ("hidden_act", "hidden_activation", "activation_function")
"""Keys of a configuration that name the activation of the MLP."""
COMPOSED = {
    "gelu_new": 3, "gelu_accurate": 3, "gelu_python": 2, "gelu_python_tanh": 3, "gelu_fast": 6, "quick_gelu": 1,
}  # fmt: skip
"""Activations that transformers puts together of several kernels: how many tensors more than one kernel, which keeps
its input, these keep. Source: ``activations.py`` (transformers 5.23)."""
COMPOSED_BY_DEFAULT = dict.fromkeys(("codegen", "gpt2", "gpt_neo", "gptj", "openai-gpt", "phi"), "gelu_new")
"""Architectures that have such an activation where the configuration names none."""
CAPPED = ("gemma2", "vaultgemma")
"""Architectures that cap attention's scores with a tanh."""
GGUF_NAMES = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
    "num_experts": "expert_count",
}
"""llama.cpp's names of what transformers calls otherwise; source: ``gguf.constants.Keys``."""
GGUF_KINDS = {"gemma3": "gemma3_text"}
"""Architectures that llama.cpp calls otherwise; source: ``transformers.integrations.ggml``."""


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
        "model_type": GGUF_KINDS.get(str(kind), kind),
        "vocab_size": header.get(f"{kind}.vocab_size") or (None if tokens is None else len(tokens)),
        "tie_word_embeddings": "output.weight" not in header[TENSORS],
        **{name: value for name, value in found.items() if value is not None},
    }
