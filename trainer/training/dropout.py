"""Dropout on a CPU with a quarter of torch's memory, in no more time.

On a CPU torch draws a float for each value and keeps it for the backward pass, and a LoRA layer drops from each of its
inputs. Sixteen random bits decide here, and one byte is kept. The bits come from torch's own generator: whatever
restores its state, a checkpoint or the recomputing of a block, brings back the same values. GPUs have a fused kernel,
and keep torch's.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import LoraLayer

LEVELS = 1 << 16
LOWEST = -(1 << 15)
"""Of a random number of 16 bits: how many values there are, and the lowest, as ``int16`` has it."""


class CpuDropout(torch.nn.Dropout):
    """``torch.nn.Dropout`` for tensors on a CPU; the rate is rounded to 1/65,536, and the scale follows it."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (torch's own name)
        """Return ``input`` (any shape), some values at zero at random, the others scaled; in eval mode as it is."""
        dropped = round(self.p * LEVELS)
        if not self.training or dropped == 0:
            return input
        if dropped == LEVELS:
            return torch.zeros_like(input) * input
        scale = LEVELS / (LEVELS - dropped)
        return _Dropped.apply(input, LOWEST + dropped, scale)  # type: ignore[no-any-return, no-untyped-call]


class _Dropped(torch.autograd.Function):
    """Keeps the values whose random number is at least a threshold."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, threshold: int, scale: float) -> torch.Tensor:
        count = values.numel()
        words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(1 << 63), None)
        kept = (words.view(torch.int16)[:count] >= threshold).view(values.shape)
        ctx.save_for_backward(kept)
        ctx.scale = scale
        return torch.mul(values, kept).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (kept,) = ctx.saved_tensors
        return torch.mul(gradients[0], kept).mul_(ctx.scale), None, None


def drop_fast_on_cpu(model: torch.nn.Module) -> None:
    """Give the LoRA layers of a model on a CPU this dropout in place of torch's."""
    for module in model.modules():
        if isinstance(module, LoraLayer):
            for name, dropout in module.lora_dropout.items():
                if type(dropout) is torch.nn.Dropout:
                    module.lora_dropout[name] = CpuDropout(dropout.p).train(dropout.training)
