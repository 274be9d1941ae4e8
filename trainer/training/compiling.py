"""Whether Triton can compile its kernels on this machine.

TRL's fused loss on CUDA is one. Triton builds a small C library at its first kernel and needs a C compiler and Python's
headers for it, which neither PyTorch nor Python brings along everywhere. The run then computes the loss without it.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

import torch

COMPILERS = ("gcc", "clang")
LONGEST = 200


def why_no_triton(device: torch.device) -> str | None:
    """Return why Triton cannot be used on a device, or ``None`` where it can, or where nothing would use it.

    Args:
        device: The device that is computed on.
    """
    if device.type != "cuda":
        return None
    missing = what_is_missing()
    if missing is not None:
        return missing
    try:
        from trainer.training.triton_kernel import computes

        return None if computes(device) else "its results are wrong"
    except Exception as err:  # noqa: BLE001 - compiler, linker, driver: each raises what it likes
        return f"{type(err).__name__}: {' '.join(str(err).split())}"[:LONGEST]


def what_is_missing() -> str | None:
    """Return which of the things that Triton compiles with is not there, looked for as Triton does."""
    if not os.environ.get("CC") and not any(shutil.which(name) for name in COMPILERS):
        return f"there is no C compiler ({' or '.join(COMPILERS)})"
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    return None if headers.is_file() else f"Python's headers are missing ({headers})"
