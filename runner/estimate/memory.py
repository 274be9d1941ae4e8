"""How much memory a QLoRA run takes, from the shape of the base model alone.

Every term is arithmetic on shapes; none was fitted to a figure. ``docs/memory-model.md`` holds predictions beside
published and measured figures. Letters: ``N`` tokens in a micro-batch, ``H`` hidden size, ``I`` intermediate size,
``K`` width of keys, ``V`` vocabulary, ``r`` rank, ``a`` bytes of an activation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runner.estimate.model_shape import ModelShape

GIB = 2**30
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a weight in NF4 with double quantisation: 4 bits, an 8-bit constant for 64 weights, a 32-bit one for 256
of those. Source: Dettmers et al. 2023, section 3 (0.127 bits a weight for the constants)."""
NF4_PLAIN = 0.5 + 4 / 64
"""The same with 32-bit constants."""
ALLOCATOR_RESERVE = 0.15
"""Share that PyTorch's allocator holds on top of what is in use; source: Guo et al. 2024 (GMLake, arXiv 2401.08156),
who save 15 % on average over eight models that train with recomputation, offloading or LoRA on an A100."""


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
        saved_input: What an adapter keeps of each number that goes into it.
        norm_input: What a norm keeps of each number that goes into it.
        mlp_kept: How many tensors of the MLP's inner width are kept.
        mlp_gradients: How many gradients of that width are there at once.
        shares_inputs: Whether adapters with the same input keep it once.
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
    saved_input: float = 3.0
    norm_input: float = 4.0
    mlp_kept: int = 3
    mlp_gradients: int = 2
    shares_inputs: bool = False
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
        holding: How the trainer holds things.
        tokens: Tokens in a micro-batch, padding included, ``N``.
        rank: Rank of the adapter, ``r``.
        targets: Layers with an adapter, as ``lora_target_modules`` has them.
    """
    adapter = shape.lora_parameters(rank, targets)
    a, blocks = holding.activation, shape.layers
    block = tokens * block_bytes(shape, holding, targets)
    inputs = 2 if holding.offloads else blocks + 1
    kept = tokens * shape.hidden_size * a * inputs if holding.checkpointing else block * blocks
    loss = tokens * shape.vocabulary_size * holding.logits
    backward = tokens * gradient_bytes(shape, holding) + (block if holding.checkpointing else 0.0)
    # The loss is over before the last block's backward pass begins: what they need is never there at once.
    parts = {
        "base model, 4 bit": shape.linear_parameters * holding.quantised,
        "base model, unquantised": shape.other_parameters * holding.unquantised,
        "adapter": adapter * holding.adapter,
        "gradients": adapter * holding.gradient,
        "optimizer": adapter * holding.optimizer,
        "activations": kept,
        "loss" if loss > backward else "one block's backward pass": max(loss, backward),
        "a layer dequantised": max(linear.inputs * linear.outputs for linear in shape.linears) * a,
    }
    held = sum(parts.values())
    parts["allocator's reserve"] = held * holding.reserve
    parts["process and kernels"] = holding.context_gib * GIB
    return Memory({name: size / GIB for name, size in parts.items() if size})


def block_bytes(shape: ModelShape, holding: Holding, targets: str | list[str]) -> float:
    """Return what one block keeps of one token for its backward pass, in bytes.

    Two norms keep their input in 32 bits; each adapter keeps its own copy of its input; attention keeps queries, keys,
    values and its answer (flash and memory-efficient kernels keep no scores); the MLP keeps the gate, what the
    activation makes of it and the way up. A frozen 4-bit layer keeps nothing: its backward pass needs weights alone.

    Source: what ``torch.autograd`` saves in ``modeling_llama`` (transformers 5.23), ``peft.tuners.lora.layer`` (0.21)
    and ``bitsandbytes.autograd.MatMul4Bit`` (0.50); compare Korthikanti et al. 2022, section 4.
    """
    a, hidden, inner = holding.activation, shape.hidden_size, shape.intermediate_size
    queries = next((linear.outputs for linear in shape.linears if linear.name == "q_proj"), hidden)
    norms = 2 * holding.norm_input * hidden
    attention = a * (2 * queries + 2 * shape.key_value_size)
    mlp = a * inner * (holding.mlp_kept if shape.is_gated else 1)
    return norms + attention + mlp + holding.saved_input * _adapter_inputs(shape, holding, targets)


def _adapter_inputs(shape: ModelShape, holding: Holding, targets: str | list[str]) -> int:
    """Return the numbers that the adapters of a block take in for one token."""
    chosen = shape.targeted(targets)
    if not holding.shares_inputs:
        return sum(linear.inputs for linear in chosen)
    own = {linear.name: linear.inputs for linear in chosen if linear.inputs != shape.hidden_size}
    shared = 2 * shape.hidden_size if any(linear.inputs == shape.hidden_size for linear in chosen) else 0
    return shared if holding.mlp_kept < 3 else shared + sum(own.values())


def gradient_bytes(shape: ModelShape, holding: Holding) -> float:
    """Return the gradients of one token that are there at once in a block's backward pass, in bytes.

    The widest point is the MLP: the gradients of what comes out of the activation and of the way up, and that of the
    residual stream, in and out.
    """
    return holding.activation * (holding.mlp_gradients * shape.intermediate_size + 2 * shape.hidden_size)


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
