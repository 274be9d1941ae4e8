"""The smallest kernel of Triton: that it computes shows that Triton can compile here.

Import it only where there is a GPU. Triton comes with PyTorch's builds for CUDA and is in no other.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch

triton: Any = import_module("triton")
tl: Any = import_module("triton.language")
BLOCK = 16


@triton.jit  # type: ignore[untyped-decorator]
def _add_one(pointer, block: tl.constexpr):  # type: ignore[no-untyped-def]
    offsets = tl.arange(0, block)
    tl.store(pointer + offsets, tl.load(pointer + offsets) + 1)


def computes(device: torch.device) -> bool:
    """Compile the kernel, run it, and return whether its result is right.

    Args:
        device: A GPU.

    Raises:
        Exception: Whatever Triton or the compiler raises.
    """
    values = torch.zeros(BLOCK, device=device)
    _add_one[(1,)](values, block=BLOCK)
    return bool((values == 1).all())
