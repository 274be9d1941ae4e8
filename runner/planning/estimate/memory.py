"""How much memory a QLoRA run takes, from the shape of the base model alone.

Every term is arithmetic on shapes; none was fitted to a figure. ``docs/memory-model.md`` holds predictions beside
published and measured figures. Letters: ``N`` tokens in a micro-batch, ``T`` tokens of a row, ``H`` hidden size, ``I``
intermediate size, ``K`` width of keys, ``V`` vocabulary, ``r`` rank, ``a`` bytes of an activation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from runner.planning.estimate.model_shape import ModelShape

GIB = 2**30
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a weight in NF4 with double quantisation: 4 bits, an 8-bit constant for 64 weights, a 32-bit one for 256
of those. Source: Dettmers et al. 2023, section 3 (0.127 bits a weight for the constants)."""
NF4_PLAIN = 0.5 + 4 / 64
"""The same with 32-bit constants."""
ALLOCATOR_RESERVE = 0.15
"""Share that PyTorch's allocator holds on top of what is in use; source: Guo et al. 2024 (GMLake, arXiv 2401.08156),
who save 15 % on average over eight models that train with recomputation, offloading or LoRA on an A100."""
LOSS_TILE = (4096, 32768)
"""Tokens and vocabulary of the piece of logits that TRL's fused head holds at a time; source: ``TOKEN_CHUNK_SIZE`` and
``_CHUNKED_LOGPROB_CHUNK_SIZE`` of trl 1.16."""


@dataclass(frozen=True)
class Holding:
    """How a trainer holds what it needs, in bytes of each.

    Attributes:
        quantised: A weight of the blocks' linear layers.
        unquantised: Any other weight of the base model.
        adapter: A weight of the adapter.
        gradient: Its gradient.
        optimizer: Its optimizer state.
        activation: A number of an activation, ``a``.
        logits: All that is held for one logit when the loss is differentiated; 0 where the loss never holds logits.
        tiles_logits: Whether the loss goes over the logits in tiles of ``LOSS_TILE`` instead.
        saved_input: What an adapter keeps of each number that goes into it.
        norm_input: What a norm keeps of each number that goes into it.
        mlp_kept: How many tensors of the MLP's inner width are kept.
        mlp_gradients: How many gradients of that width are there at once.
        shares_inputs: Whether adapters with the same input keep it once.
        attention: ``flash`` and ``sdpa`` keep no scores, ``eager`` does.
        has_mask: Whether ``sdpa`` is given a mask: rows are packed, or filled up.
        row_tokens: Longest row as attention sees it, ``T``; without, all tokens are one row, as packed rows are.
        checkpointing: Whether the activations of a block are computed again in the backward pass.
        offloads: Whether the inputs of blocks wait in the host's memory for the backward pass.
        context_gib: What the process holds before the first tensor, in GiB.
        reserve: Share of all tensors that the allocator holds on top.
    """

    quantised: float = NF4
    unquantised: float = 2.0
    adapter: float = 4.0
    gradient: float = 4.0
    optimizer: float = 2.0
    activation: float = 2.0
    logits: float = 0.0
    tiles_logits: bool = False
    saved_input: float = 3.0
    norm_input: float = 4.0
    mlp_kept: int = 3
    mlp_gradients: int = 2
    shares_inputs: bool = False
    attention: Literal["flash", "sdpa", "eager"] = "flash"
    has_mask: bool = False
    row_tokens: int | None = None
    checkpointing: bool = True
    offloads: bool = False
    context_gib: float = 0.0
    reserve: float = 0.0


@dataclass(frozen=True)
class Memory:
    """Memory at the worst moment of a step.

    Attributes:
        parts_gib: GiB by what they are for, in the order of a picture: from the bottom up.
    """

    parts_gib: Mapping[str, float]

    @property
    def total_gib(self) -> float:
        """GiB in all."""
        return sum(self.parts_gib.values())


def memory_of(shape: ModelShape, holding: Holding, *, tokens: int, rank: int, targets: str | list[str]) -> Memory:
    """Return the memory of a training step.

    Args:
        shape: The base model.
        holding: How the trainer holds tensors.
        tokens: Tokens in a micro-batch, padding included, ``N``.
        rank: Rank of the adapter, ``r``.
        targets: Layers with an adapter, as ``lora_target_modules`` has them.
    """
    adapter = shape.lora_parameters(rank, targets)
    a, blocks, row = holding.activation, shape.layers, min(tokens, holding.row_tokens or tokens)
    block = tokens * block_bytes(shape, holding, targets, rank=rank, row_tokens=row)
    inputs = 2 if holding.offloads else blocks + 1
    kept = tokens * shape.hidden_size * a * inputs if holding.checkpointing else block * blocks
    loss = loss_bytes(shape, holding, tokens)
    gradients = tokens * gradient_bytes(shape, holding, row_tokens=row)
    backward = gradients + (block if holding.checkpointing else 0.0)
    # The loss is over before the last block's backward pass begins: what they need is never there at once.
    parts = {
        "base model, 4 bit": shape.linear_parameters * holding.quantised,
        "base model, unquantised": shape.other_parameters * holding.unquantised,
        "adapter": adapter * holding.adapter,
        "gradients": adapter * holding.gradient,
        "optimizer": adapter * holding.optimizer,
        "activations": kept,
        "attention's mask": tokens * row * _shared_mask(shape, holding),
        "loss" if loss > backward else "one block's backward pass": max(loss, backward),
        "a layer dequantised": max(linear.parameters for linear in shape.linears) * a,
    }
    held = sum(parts.values())
    parts["allocator's reserve"] = held * holding.reserve
    parts["process and kernels"] = holding.context_gib * GIB
    return Memory({name: size / GIB for name, size in parts.items() if size})


def loss_bytes(shape: ModelShape, holding: Holding, tokens: int) -> float:
    """Return the memory of a micro-batch's loss, in bytes.

    In tiles that is one tile of logits, a copy of what goes into the head, and its gradient in 32 bits and as it is
    handed on (``trl.kernels.chunked_logprob``, 1.16); all tokens count, though only supervised ones go through it.
    """
    if not holding.tiles_logits:
        return tokens * shape.vocabulary_size * holding.logits
    a, (rows, columns) = holding.activation, LOSS_TILE
    tile = min(tokens, rows) * min(shape.vocabulary_size, columns) * a
    return tile + tokens * shape.hidden_size * (2 * a + 4)


def block_bytes(
    shape: ModelShape, holding: Holding, targets: str | list[str], *, rank: int = 0, row_tokens: int = 0
) -> float:
    """Return the memory that one block keeps per token for its backward pass, in bytes.

    Norms keep their input in 32 bits; each adapter keeps its own copy of its input, and the ``r`` numbers that its
    first half makes of it; attention keeps queries, keys, values and its answer, and what ``score_bytes`` says of each
    pair of tokens; the MLP keeps the gate, what the activation makes of it and the way up, and what an activation of
    several kernels keeps between them. A frozen 4-bit layer keeps nothing: its backward pass needs weights alone.

    Source: what ``torch.autograd`` saves in ``modeling_llama`` (transformers 5.23), ``peft.tuners.lora.layer`` (0.21)
    and ``bitsandbytes.autograd.MatMul4Bit`` (0.50); compare Korthikanti et al. 2022, section 4. A test compares this
    with what ``torch.autograd`` saves of a small model.
    """
    a, inner, queries = holding.activation, shape.intermediate_size, shape.query_size
    keys = queries if _repeats_keys(shape, holding) else shape.key_value_size
    norms = holding.norm_input * shape.norm_size
    answer = 0 if _kernel(shape, holding) == "eager" else queries  # a product of matrices keeps what goes in alone
    attention = a * (queries + 2 * keys + answer) + row_tokens * score_bytes(shape, holding)
    mlp = a * inner * ((holding.mlp_kept if shape.is_gated else 1) + shape.activation_kept)
    adapters = holding.saved_input * _adapter_inputs(shape, holding, targets)
    return norms + attention + mlp + adapters + a * rank * len(shape.targeted(targets))


def score_bytes(shape: ModelShape, holding: Holding) -> float:
    """Return the memory that one block's attention keeps per pair of tokens for its backward pass, in bytes.

    Flash attention keeps nothing. Without it, packed rows need a mask of ``N`` × ``N``, and PyTorch's fused kernels
    make numbers of it, anew in each block, and keep them. Eager attention keeps the softmax of each head in 32 bits,
    its copy in ``a`` bytes where these are fewer, and what a tanh makes of the scores.

    Source: ``masking_utils.create_causal_mask`` and ``modeling_llama.eager_attention_forward`` (transformers 5.23),
    ``convert_boolean_attn_mask`` in ATen's ``transformers/attention.cpp`` (torch 2.13).
    """
    a, kernel = holding.activation, _kernel(shape, holding)
    if kernel == "eager":
        return shape.heads * (4 + (a if a < 4 else 0) + (a if shape.caps_scores else 0))
    return a if kernel == "sdpa" and holding.has_mask else 0.0


def _kernel(shape: ModelShape, holding: Holding) -> str:
    """Return the attention that a model gets."""
    return "eager" if shape.is_eager and holding.attention == "sdpa" else holding.attention


def _repeats_keys(shape: ModelShape, holding: Holding) -> bool:
    """Return whether keys and values are repeated for each query: only a kernel without a mask takes them as is."""
    kernel = _kernel(shape, holding)
    return kernel == "eager" or (kernel == "sdpa" and holding.has_mask)


def _shared_mask(shape: ModelShape, holding: Holding) -> float:
    """Return the bytes of an element of the mask that all blocks share: a truth value, or a number for ``eager``."""
    kernel = _kernel(shape, holding)
    if kernel == "eager":
        return holding.activation
    return 1.0 if kernel == "sdpa" and holding.has_mask else 0.0


def _adapter_inputs(shape: ModelShape, holding: Holding, targets: str | list[str]) -> int:
    """Return the numbers that the adapters of a block take in for one token."""
    chosen = shape.targeted(targets)
    if not holding.shares_inputs:
        return sum(linear.inputs for linear in chosen)
    own = {linear.name: linear.inputs for linear in chosen if linear.inputs != shape.hidden_size}
    shared = 2 * shape.hidden_size if any(linear.inputs == shape.hidden_size for linear in chosen) else 0
    return shared if holding.mlp_kept < 3 else shared + sum(own.values())


def gradient_bytes(shape: ModelShape, holding: Holding, *, row_tokens: int = 0) -> float:
    """Return the gradients of one token that are there at once in a block's backward pass, in bytes.

    The widest point is the MLP: the gradients of what comes out of the activation and of the way up, and that of the
    residual stream, in and out. Where attention keeps scores, it is there: the softmax's gradient, in 32 bits and in
    ``a`` bytes, of each head.
    """
    mlp = holding.activation * (holding.mlp_gradients * shape.intermediate_size + 2 * shape.hidden_size)
    if _kernel(shape, holding) != "eager":
        return mlp
    scores = row_tokens * shape.heads * (4 + holding.activation)
    return max(mlp, scores + 2 * holding.activation * shape.hidden_size)


def largest_micro_batch(
    shape: ModelShape, holding: Holding, *, memory_gib: float, length: int, rank: int, targets: str | list[str]
) -> int:
    """Return how many rows of ``length`` tokens fit into ``memory_gib``; 0 where not even one does."""

    def total(rows: int) -> float:
        return memory_of(shape, holding, tokens=rows * length, rank=rank, targets=targets).total_gib

    if total(1) > memory_gib:
        return 0
    rows = 1
    while total(rows * 2) <= memory_gib:
        rows *= 2
    step = rows // 2
    while step:
        if total(rows + step) <= memory_gib:
            rows += step
        step //= 2
    return rows
